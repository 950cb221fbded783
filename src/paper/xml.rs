//! XML as OFD uses it, read into a small tree. What a document type definition, an entity or an unbound prefix could change is refused.
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::container::Unreadable;

/// Elements inside one another.
const DEPTH_MAX: usize = 64;
/// Attributes of one element.
const ATTRIBUTES_MAX: usize = 64;
/// Namespaces in force at once.
const NAMESPACES_MAX: usize = 64;
/// Elements of one document.
const ELEMENTS_MAX: usize = 100_000;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Name without its prefix.
    pub name: String,
    /// The namespace's name; empty: none. Shared: a long name on the outermost element is not copied into each one inside.
    pub namespace: Arc<str>,
    /// Attributes by name without prefix; namespace declarations left out.
    pub attributes: Vec<(String, String)>,
    /// Text directly inside, joined.
    pub text: String,
    /// Elements directly inside.
    pub children: Vec<Element>,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The outermost element.
    pub root: Element,
    /// Whether there are comments: text that no reader of the tree sees.
    pub comments: bool,
}

impl Element {
    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Elements of this name directly inside.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The only element of this name directly inside; `None` where there is none, or more than one.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&Element> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        found.next().filter(|_| found.next().is_none())
    }

    /// Text inside, without the space around it.
    #[must_use]
    pub fn trimmed(&self) -> &str {
        self.text.trim()
    }
}

/// Reads a document; `name` is for the reason.
///
/// # Errors
/// `bad-xml`, or `xml-forbidden` for document types, entities and other encodings, `xml-too-deep` and the like for limits.
pub fn parse(bytes: &[u8], name: &str) -> Result<Document, Unreadable> {
    let bad = |why: &dyn std::fmt::Display| Unreadable::new("bad-xml", format!("{name}: {why}"));
    let text =
        std::str::from_utf8(bytes).map_err(|_| Unreadable::new("xml-forbidden", format!("{name}: not UTF-8")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(bad(&"a control character"));
    }
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut tree = Tree { name, open: Vec::new(), namespaces: Vec::new(), elements: 0, root: None, comments: false };
    let mut first = true;
    loop {
        match reader.read_event().map_err(|error| bad(&error))? {
            Event::Start(start) => tree.start(&start)?,
            Event::Empty(start) => {
                tree.start(&start)?;
                tree.end()?;
            }
            Event::End(_) => tree.end()?,
            Event::Text(text) => tree.text(&text.decode().map_err(|error| bad(&error))?)?,
            Event::CData(text) => tree.text(&text.decode().map_err(|error| bad(&error))?)?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| bad(&error))?;
                let named = match reference.decode().map_err(|error| bad(&error))?.as_ref() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => None,
                };
                let character = character
                    .or(named)
                    .ok_or_else(|| Unreadable::new("xml-forbidden", format!("{name}: an entity")))?;
                tree.text(character.encode_utf8(&mut [0; 4]))?;
            }
            Event::Comment(_) => tree.comments = true,
            Event::Decl(declaration) if first => check_declaration(&declaration, name)?,
            Event::Decl(_) | Event::PI(_) => {
                return Err(Unreadable::new("xml-forbidden", format!("{name}: an instruction")));
            }
            Event::DocType(_) => return Err(Unreadable::new("xml-forbidden", format!("{name}: a document type"))),
            Event::Eof => break,
        }
        first = false;
    }
    match (tree.root, tree.open.is_empty()) {
        (Some(root), true) => Ok(Document { root, comments: tree.comments }),
        _ => Err(bad(&"no whole element")),
    }
}

/// `version` 1.0, `encoding` UTF-8, `standalone`: nothing else, so that no byte of it is without meaning.
fn check_declaration(declaration: &BytesDecl<'_>, name: &str) -> Result<(), Unreadable> {
    let text = String::from_utf8_lossy(declaration).into_owned();
    let fine = text.strip_prefix("xml").is_some_and(|rest| {
        rest.replace('\'', "\"").split_ascii_whitespace().all(|part| {
            matches!(
                part,
                "version=\"1.0\""
                    | "encoding=\"UTF-8\""
                    | "encoding=\"utf-8\""
                    | "standalone=\"yes\""
                    | "standalone=\"no\""
            )
        })
    });
    if fine { Ok(()) } else { Err(Unreadable::new("xml-forbidden", format!("{name}: declared as <?{text}?>"))) }
}

struct Tree<'a> {
    name: &'a str,
    open: Vec<(Element, usize)>,
    namespaces: Vec<(String, Arc<str>)>,
    elements: usize,
    root: Option<Element>,
    comments: bool,
}

impl Tree<'_> {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Unreadable> {
        let over = |what: &str| Unreadable::new("xml-too-large", format!("{}: {what}", self.name));
        let bad = |why: String| Unreadable::new("bad-xml", format!("{}: {why}", self.name));
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(over("too many elements"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(over("too deep"));
        }
        if self.root.is_some() {
            return Err(bad("more than one outermost element".to_owned()));
        }
        let bound_before = self.namespaces.len();
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (at, attribute) in start.attributes().enumerate() {
            if at == ATTRIBUTES_MAX {
                return Err(over("too many attributes"));
            }
            let attribute = attribute.map_err(|error| bad(error.to_string()))?;
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| Unreadable::new("xml-forbidden", format!("{}: {error}", self.name)))?
                .into_owned();
            match key.split_once(':') {
                None if key == "xmlns" => self.namespaces.push((String::new(), value.into())),
                Some(("xmlns", prefix)) => self.namespaces.push((prefix.to_owned(), value.into())),
                local => {
                    let name = local.map_or(key.as_str(), |(_, name)| name).to_owned();
                    if attributes.iter().any(|(known, _)| *known == name) {
                        return Err(bad(format!("attribute {name} stands twice")));
                    }
                    attributes.push((name, value));
                }
            }
        }
        if self.namespaces.len() > NAMESPACES_MAX {
            return Err(over("too many namespaces"));
        }
        let whole = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        let (prefix, name) = whole.split_once(':').unwrap_or(("", &whole));
        let bound = self.namespaces.iter().rev().find(|(known, _)| known == prefix).map(|(_, uri)| uri.clone());
        let namespace = match (bound, prefix) {
            (Some(uri), _) => uri,
            (None, "") => Arc::default(),
            (None, _) => return Err(bad(format!("prefix {prefix} means nothing"))),
        };
        let element = Element { name: name.to_owned(), namespace, attributes, ..Element::default() };
        self.open.push((element, bound_before));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        let (element, bound_before) = self
            .open
            .pop()
            .ok_or_else(|| Unreadable::new("bad-xml", format!("{}: an end without a start", self.name)))?;
        self.namespaces.truncate(bound_before);
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Unreadable> {
        match self.open.last_mut() {
            Some((element, _)) => element.text.push_str(text),
            None if text.chars().all(char::is_whitespace) => {}
            None => return Err(Unreadable::new("bad-xml", format!("{}: text outside any element", self.name))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Result<(), &'static str> {
        parse(text.as_bytes(), "x").map(|_| ()).map_err(|e| e.reason)
    }

    #[test]
    fn names_are_matched_without_their_prefix_and_text_is_joined() {
        let document =
            parse(b"<?xml version='1.0'?><o:A xmlns:o='u' K='&lt;1'>a&amp;<!--c--><![CDATA[<b]]><o:B/></o:A>", "x")
                .unwrap();
        assert_eq!((document.root.name.as_str(), &*document.root.namespace), ("A", "u"));
        assert_eq!((document.root.text.as_str(), document.root.attribute("K")), ("a&<b", Some("<1")));
        assert!(document.comments && document.root.one("B").is_some() && document.root.one("C").is_none());
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        assert_eq!(reason("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Err("xml-forbidden"));
        assert_eq!(reason("<a>&b;</a>"), Err("xml-forbidden"));
        assert_eq!(reason("<a k='&b;'/>"), Err("xml-forbidden"));
        assert_eq!(reason("<?xml version='1.1'?><a/>"), Err("xml-forbidden"));
        assert_eq!(reason("<?xml version='1.0' encoding='GBK'?><a/>"), Err("xml-forbidden"));
        assert_eq!(reason("<a/><?pi x?>"), Err("xml-forbidden"));
        for bad in
            ["", "<a>", "<a></b>", "<a/><b/>", "<a/>text", "<p:a/>", "<a k='1' k='2'/>", "<a x:k='1' k='2'/>", "\0<a/>"]
        {
            assert_eq!(reason(bad), Err("bad-xml"), "{bad}");
        }
        assert_eq!(reason(&("<a>".repeat(65) + &"</a>".repeat(65))), Err("xml-too-large"));
        let attributes: String = (0..65).map(|n| format!(" a{n}='1'")).collect();
        assert_eq!(reason(&format!("<a{attributes}/>")), Err("xml-too-large"));
        assert!(parse(&[0xff, 0xfe, b'<'], "x").is_err());
    }
}
