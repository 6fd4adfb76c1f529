//! Workflow commands of GitHub Actions, which Gitea and Forgejo understand too: one annotation for each line.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>: in a message `%`, CR and LF are
//! escaped, in a property also `:` and `,`.

use super::{Line, Review, text};
use crate::printable::printable_name;

/// A line for each difference: an error for what deserves a second look, a warning for what else is new, a notice for
/// the rest.
#[must_use]
pub fn github(review: &Review) -> String {
    let lines = review.bottles.iter().flat_map(|bottle| bottle.lines.iter().map(move |line| (bottle, line)));
    let one = |(bottle, line): (&super::Bottle, &Line)| {
        let level = match line.sign().0 {
            '!' => "error",
            '+' => "warning",
            _ => "notice",
        };
        // Only the new side is there to be annotated.
        let (file, at) =
            line.place.as_ref().map_or((bottle.path.as_str(), 1), |place| (bottle.path.as_str(), place.line));
        let title = match line.risk() {
            Some(risk) => format!("bottle {}: {}", bottle.name, text::risk(risk)),
            None => format!("bottle {}", bottle.name),
        };
        let message = format!("{} {}", line.sign().0, printable_name(&line.text()));
        format!(
            "::{level} file={},line={at},title={}::{}\n",
            property(file),
            property(&title),
            data(&message)
        )
    };
    lines.map(one).collect()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
