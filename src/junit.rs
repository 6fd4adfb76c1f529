//! A report in the XML that JUnit made common, which every build server reads.

use crate::printable::{printable_name, printable_text};
use std::fmt::Write as _;

/// One test of a report.
#[derive(Clone, Debug)]
pub struct Case {
    /// What groups it, with dots.
    pub class: String,
    /// Its name.
    pub name: String,
    /// The file and line that it stands in, if it stands in one.
    pub place: Option<(String, usize)>,
    /// How it ended.
    pub ending: Ending,
}

/// How a test ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// As it should.
    Passed,
    /// Not as it should: in one sentence, and the whole story.
    Failed(String, String),
    /// It means nothing here, and why.
    Skipped(String),
    /// It could not be made, and why.
    Error(String),
}

/// The report of a suite.
#[must_use]
pub fn report(suite: &str, cases: &[Case]) -> String {
    let count = |is: fn(&Ending) -> bool| cases.iter().filter(|case| is(&case.ending)).count();
    // Writing to a String can't fail.
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(
        xml,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
        attribute(suite),
        cases.len(),
        count(|ending| matches!(ending, Ending::Failed(..))),
        count(|ending| matches!(ending, Ending::Error(_))),
        count(|ending| matches!(ending, Ending::Skipped(_))),
    );
    for Case { class, name, place, ending } in cases {
        let _ = write!(xml, "  <testcase classname=\"{}\" name=\"{}\"", attribute(class), attribute(name));
        if let Some((file, line)) = place {
            let _ = write!(xml, " file=\"{}\" line=\"{line}\"", attribute(file));
        }
        let _ = match ending {
            Ending::Passed => writeln!(xml, "></testcase>"),
            Ending::Failed(message, story) if story.is_empty() => {
                writeln!(xml, "><failure message=\"{}\"/></testcase>", attribute(message))
            }
            Ending::Failed(message, story) => {
                let (message, story) = (attribute(message), escaped(&printable_text(story)));
                writeln!(xml, "><failure message=\"{message}\">{story}</failure></testcase>")
            }
            Ending::Skipped(why) => writeln!(xml, "><skipped message=\"{}\"/></testcase>", attribute(why)),
            Ending::Error(why) => writeln!(xml, "><error message=\"{}\"/></testcase>", attribute(why)),
        };
    }
    xml + "</testsuite>\n"
}

/// XML 1.0 has no form for most control characters, so they are escaped as for a terminal.
fn attribute(text: &str) -> String {
    escaped(&printable_name(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_counted_and_its_text_escaped() {
        let case = |ending| Case { class: "a.b".into(), name: "n \"<&>\u{1b}".into(), place: None, ending };
        let xml = report(
            "s",
            &[
                case(Ending::Passed),
                case(Ending::Failed("<&\">\n".into(), "]]>\n\u{0}".into())),
                case(Ending::Failed("m".into(), String::new())),
                case(Ending::Skipped("x".into())),
                Case { place: Some(("a&b.yaml".into(), 7)), ..case(Ending::Error("y".into())) },
            ],
        );
        let name = r#"<testcase classname="a.b" name="n &quot;&lt;&amp;&gt;\u{1b}""#;
        let expected = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="s" tests="5" failures="2" errors="1" skipped="1">
  {name}></testcase>
  {name}><failure message="&lt;&amp;&quot;&gt;\u{{a}}">]]&gt;
\u{{0}}</failure></testcase>
  {name}><failure message="m"/></testcase>
  {name}><skipped message="x"/></testcase>
  {name} file="a&amp;b.yaml" line="7"><error message="y"/></testcase>
</testsuite>
"#
        );
        assert_eq!(xml, expected);
    }
}
