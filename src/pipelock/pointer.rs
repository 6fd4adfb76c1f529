//! Where in a JSON document a byte stands, as a pointer (RFC 6901).

/// The pointer to the value, or to the member whose name, the byte at `offset` is part of; `None` when the text
/// up to there is no JSON.
pub(super) fn pointer(json: &[u8], offset: usize) -> Option<String> {
    let mut stack: Vec<Level> = Vec::new();
    let mut at = 0;
    let mut expects_name = false;
    while at < json.len() && at <= offset {
        match json[at] {
            b'{' => {
                stack.push(Level::Name(Vec::new()));
                expects_name = true;
            }
            b'[' => {
                stack.push(Level::Index(0));
                expects_name = false;
            }
            b'}' | b']' => {
                stack.pop()?;
                expects_name = false;
            }
            b',' => match stack.last_mut()? {
                Level::Index(index) => *index += 1,
                Level::Name(_) => expects_name = true,
            },
            b':' => expects_name = false,
            b'"' => {
                let end = string_end(json, at + 1);
                if expects_name {
                    *stack.last_mut()? = Level::Name(json.get(at + 1..end)?.to_vec());
                }
                if offset <= end {
                    break;
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    (!stack.is_empty()).then(|| stack.iter().map(Level::reference).collect())
}

enum Level {
    Name(Vec<u8>),
    Index(usize),
}

impl Level {
    fn reference(&self) -> String {
        match self {
            Level::Index(index) => format!("/{index}"),
            Level::Name(name) => {
                let name =
                    name.iter().take(60).map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' });
                format!("/{}", name.collect::<String>().replace('~', "~0").replace('/', "~1"))
            }
        }
    }
}

/// The index of the quote that ends a string, or of the text's end.
fn string_end(json: &[u8], mut at: usize) -> usize {
    while at < json.len() {
        match json[at] {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &str, mark: &str) -> Option<String> {
        pointer(json.as_bytes(), json.find(mark).unwrap())
    }

    #[test]
    fn a_byte_has_the_pointer_of_its_value() {
        let json = r#"{"model":"m","messages":[{"role":"user","content":"a \"q\", {x}"},{"content":[{"text":"here"}]}],"a/b":["z"], "n": 12345}"#;
        assert_eq!(at(json, "here").unwrap(), "/messages/1/content/0/text");
        assert_eq!(at(json, "{x}").unwrap(), "/messages/0/content");
        assert_eq!(at(json, "z\"").unwrap(), "/a~1b/0");
        assert_eq!(at(json, "345").unwrap(), "/n");
        assert_eq!(at(json, "role").unwrap(), "/messages/0/role");
        assert_eq!(at("no json: here", "here"), None);
        assert_eq!(at("]]here", "here"), None);
    }
}
