//! What an OFD package says of itself (GB/T 33190-2016): document bodies, pages, signatures, data about the document.
use super::container::{Container, LIMITS, Unreadable};
use super::xml::{self, Document, Element};

/// Signatures one paper may have.
const SIGNATURES_MAX: usize = 64;
/// Names the field gives OFD's namespace.
const NAMESPACES: [&str; 2] = ["http://www.ofdspec.org/2016", "http://www.ofdspec.org"];

/// An OFD package, its structure read.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its documents; one, in every paper met so far.
    pub bodies: Vec<Body>,
}

/// One document of a package.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Identifier of the document.
    pub id: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Custom data: name and value.
    pub custom_data: Vec<(String, String)>,
    /// The part the document begins with.
    pub root: Option<String>,
    /// Its pages' parts.
    pub pages: Vec<String>,
    /// The part that lists attachments.
    pub attachments: Option<String>,
    /// The part that lists tags: in licences, which text is which field.
    pub custom_tags: Option<String>,
    /// The part that lists annotations.
    pub annotations: Option<String>,
    /// Paths that name no part, of the document's root and its pages.
    pub missing: Vec<String>,
    /// The list of signatures.
    pub signatures: Option<SignatureList>,
}

/// The list of signatures of a document.
#[derive(Clone, Debug, Default)]
pub struct SignatureList {
    /// Its part.
    pub path: String,
    /// The signatures it lists.
    pub entries: Vec<SignatureEntry>,
    /// What in it is not as every writer writes it; matters only where no digest covers the list.
    pub irregular: Vec<String>,
}

/// A signature as the list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureEntry {
    /// Its identifier.
    pub id: String,
    /// What it says it is; `None`: nothing, which means a seal.
    pub kind: Option<String>,
    /// The part that describes it; `None`: no such part.
    pub path: Option<String>,
    /// The path as written.
    pub written: String,
}

/// The description of a signature (Signature.xml).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Signature algorithm as named.
    pub method: Option<String>,
    /// Digest method as named; `None`: not named, which means MD5.
    pub check_method: Option<String>,
    /// Path and digest (base64) of each part.
    pub references: Vec<(String, String)>,
    /// Path of the seal beside it.
    pub seal: Option<String>,
    /// Path of the signature's value.
    pub signed_value: Option<String>,
    /// Pages that show the seal.
    pub stamps: usize,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// To this part.
    Part(String),
    /// To none.
    Nothing,
    /// To one part seen from the package, to another seen from the part that names it.
    Two,
}

impl Found {
    /// The part, if it is one.
    #[must_use]
    pub fn part(self) -> Option<String> {
        match self {
            Self::Part(part) => Some(part),
            Self::Nothing | Self::Two => None,
        }
    }
}

/// Resolves a path written in the part `from`: from the package's root when it begins with `/`, otherwise from there or from the
/// folder of `from`, whichever exists; never both.
#[must_use]
pub fn resolve(container: &Container<'_>, from: &str, written: &str) -> Found {
    let written = written.trim().replace('\\', "/");
    if let Some(absolute) = written.strip_prefix('/') {
        return known(container, normal("", absolute));
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (beside, rooted) = (known(container, normal(folder, &written)), known(container, normal("", &written)));
    match (beside, rooted) {
        (Found::Part(one), Found::Part(other)) if one != other => Found::Two,
        (Found::Part(part), _) | (_, Found::Part(part)) => Found::Part(part),
        _ => Found::Nothing,
    }
}

fn known(container: &Container<'_>, path: Option<String>) -> Found {
    path.filter(|path| container.has(path)).map_or(Found::Nothing, Found::Part)
}

/// `None`: the path leaves the package.
fn normal(folder: &str, path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in folder.split('/').chain(path.split('/')) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            name => segments.push(name),
        }
    }
    Some(segments.join("/"))
}

/// Reads an XML part.
///
/// # Errors
/// Where it is too large, does not unpack, or is not good XML.
pub fn read_xml(container: &Container<'_>, path: &str) -> Result<Option<(Vec<u8>, Document)>, Unreadable> {
    if container.size(path).is_some_and(|size| size > LIMITS.xml_bytes) {
        return Err(Unreadable::new("xml-too-large", format!("{path}: more than {} bytes", LIMITS.xml_bytes)));
    }
    let Some(bytes) = container.read(path)? else { return Ok(None) };
    let document = xml::parse(&bytes, path)?;
    Ok(Some((bytes, document)))
}

impl Package {
    /// Reads `OFD.xml`, each document's root and each list of signatures.
    ///
    /// # Errors
    /// Where there is no `OFD.xml`, or a structural part is not good XML.
    pub fn read(container: &Container<'_>) -> Result<Self, Unreadable> {
        let entry = read_xml(container, "OFD.xml")?;
        let (_, ofd) = entry.ok_or_else(|| Unreadable::new("not-ofd", "there is no OFD.xml"))?;
        if ofd.root.name != "OFD" {
            return Err(Unreadable::new("not-ofd", "OFD.xml is about something else"));
        }
        let bodies: Vec<&Element> = ofd.root.all("DocBody").collect();
        if bodies.is_empty() || bodies.len() > 16 {
            return Err(Unreadable::new("not-ofd", format!("{} documents", bodies.len())));
        }
        Ok(Self { bodies: bodies.into_iter().map(|body| Body::read(container, body)).collect::<Result<_, _>>()? })
    }
}

impl Body {
    fn read(container: &Container<'_>, element: &Element) -> Result<Self, Unreadable> {
        let mut body = Self::default();
        if let Some(info) = element.one("DocInfo") {
            let text = |name| info.one(name).map(|found| found.trimmed().to_owned()).filter(|text| !text.is_empty());
            (body.id, body.title) = (text("DocID"), text("Title"));
            let data = info.all("CustomDatas").flat_map(|datas| datas.all("CustomData"));
            body.custom_data =
                data.map(|d| (d.attribute("Name").unwrap_or_default().to_owned(), d.trimmed().to_owned())).collect();
        }
        // Twice the same element would be one document to one reader and another to the next.
        let path = |name: &str| -> Result<Option<&str>, Unreadable> {
            match element.all(name).count() {
                0 => Ok(None),
                1 => Ok(element.one(name).map(Element::trimmed)),
                _ => Err(Unreadable::new("element-stands-twice", format!("OFD.xml: {name}"))),
            }
        };
        match path("DocRoot")? {
            None => body.missing.push("DocRoot".to_owned()),
            Some(written) => match resolve(container, "OFD.xml", written) {
                Found::Part(root) => body.read_root(container, root)?,
                Found::Nothing | Found::Two => body.missing.push(written.to_owned()),
            },
        }
        if let Some(written) = path("Signatures")? {
            match resolve(container, "OFD.xml", written) {
                Found::Part(list) => body.signatures = Some(SignatureList::read(container, list)?),
                Found::Nothing | Found::Two => body.missing.push(written.to_owned()),
            }
        }
        Ok(body)
    }

    fn read_root(&mut self, container: &Container<'_>, root: String) -> Result<(), Unreadable> {
        let Some((_, document)) = read_xml(container, &root)? else { return Ok(()) };
        if document.root.name != "Document" {
            self.missing.push(format!("{root} is no document"));
        }
        for page in document.root.all("Pages").flat_map(|pages| pages.all("Page")) {
            let written = page.attribute("BaseLoc").unwrap_or_default();
            match resolve(container, &root, written) {
                Found::Part(part) => self.pages.push(part),
                Found::Nothing | Found::Two => self.missing.push(written.to_owned()),
            }
        }
        let part = |name| document.root.one(name).and_then(|e| resolve(container, &root, e.trimmed()).part());
        self.attachments = part("Attachments");
        self.custom_tags = part("CustomTags");
        self.annotations = part("Annotations");
        self.root = Some(root);
        Ok(())
    }
}

impl SignatureList {
    fn read(container: &Container<'_>, path: String) -> Result<Self, Unreadable> {
        let Some((_, document)) = read_xml(container, &path)? else { return Ok(Self::default()) };
        let root = &document.root;
        if root.name != "Signatures" {
            return Err(Unreadable::new("not-ofd", format!("{path} is no list of signatures")));
        }
        let signatures: Vec<&Element> = root.all("Signature").collect();
        if signatures.len() > SIGNATURES_MAX {
            return Err(Unreadable::new("too-many-signatures", format!("{path}: {}", signatures.len())));
        }
        let read = |element: &&Element| {
            let written = element.attribute("BaseLoc").unwrap_or_default().to_owned();
            SignatureEntry {
                id: element.attribute("ID").unwrap_or_default().to_owned(),
                kind: element.attribute("Type").map(str::to_owned),
                path: resolve(container, &path, &written).part(),
                written,
            }
        };
        let entries = signatures.iter().map(read).collect();
        let mut list = Self { path, entries, irregular: Vec::new() };
        list.irregular = list.irregularities(&document);
        Ok(list)
    }

    /// A list that no digest covers can be rewritten by anybody. What its writers always write alike must then be so.
    fn irregularities(&self, document: &Document) -> Vec<String> {
        let root = &document.root;
        let mut found = Vec::new();
        let mut say = |fault: bool, what: &str| {
            if fault {
                found.push(what.to_owned());
            }
        };
        let nodes: Vec<&Element> = root.children.iter().chain([root]).collect();
        say(nodes.iter().any(|e| !NAMESPACES.contains(&&*e.namespace)), "another namespace");
        say(document.comments, "comments");
        say(root.children.iter().any(|e| !matches!(e.name.as_str(), "Signature" | "MaxSignId")), "unknown elements");
        say(root.children.iter().any(|e| !e.children.is_empty()), "elements inside a signature");
        let texts = root.children.iter().filter(|e| e.name != "MaxSignId").chain([root]);
        say(texts.clone().any(|e| !e.trimmed().is_empty()), "text");
        let allowed =
            |e: &Element, key: &str| e.name == "Signature" && matches!(key, "ID" | "Type" | "BaseLoc" | "Relative");
        say(nodes.iter().any(|e| e.attributes.iter().any(|(key, _)| !allowed(e, key))), "unknown attributes");
        let mut ids: Vec<&str> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
        let numbers: Option<Vec<(&str, u32)>> = ids.iter().map(|id| number(id)).collect();
        let last = root.one("MaxSignId").and_then(|max| number(max.trimmed()));
        // Writers count from one without a gap, and note the last number given or the next to give: a gap is a signature taken out.
        let counted = numbers.zip(last).is_some_and(|(mut numbers, (prefix, last))| {
            numbers.sort_unstable();
            let counts = numbers.iter().zip(1..).all(|((own, number), expected)| *own == prefix && *number == expected);
            let highest = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            counts && last.checked_sub(highest).is_some_and(|ahead| ahead <= 1)
        });
        say(!counted, "numbers that do not agree");
        ids.sort_unstable();
        ids.dedup();
        say(ids.len() != self.entries.len(), "an identifier twice");
        found
    }
}

/// `s001` as `s` and 1.
fn number(id: &str) -> Option<(&str, u32)> {
    let digits = id.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let prefix = id.get(..id.len() - digits.len())?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
        .map(|n| (prefix, n))
}

impl Description {
    /// Reads a `Signature.xml`.
    ///
    /// # Errors
    /// Where it is none, or has twice what it may have once.
    pub fn read(document: &Document, path: &str) -> Result<Self, Unreadable> {
        let twice = |what: &str| Unreadable::new("element-stands-twice", format!("{path}: {what}"));
        let at_most_one = |parent: &Element, name: &str| -> Result<Option<Element>, Unreadable> {
            match parent.all(name).count() {
                0 | 1 => Ok(parent.one(name).cloned()),
                _ => Err(twice(name)),
            }
        };
        let info = at_most_one(&document.root, "SignedInfo")?;
        let info = info.filter(|_| document.root.name == "Signature");
        let info = info.ok_or_else(|| Unreadable::new("bad-signature-xml", format!("{path}: no SignedInfo")))?;
        let mut read = Self {
            method: at_most_one(&info, "SignatureMethod")?.map(|e| e.trimmed().to_owned()),
            signed_value: at_most_one(&document.root, "SignedValue")?.map(|e| e.trimmed().to_owned()),
            stamps: info.all("StampAnnot").count(),
            ..Self::default()
        };
        if let Some(seal) = at_most_one(&info, "Seal")? {
            read.seal = at_most_one(&seal, "BaseLoc")?.map(|e| e.trimmed().to_owned());
        }
        if let Some(references) = at_most_one(&info, "References")? {
            read.check_method = references.attribute("CheckMethod").map(str::to_owned);
            for reference in references.all("Reference") {
                let value = at_most_one(reference, "CheckValue")?.map(|e| e.trimmed().to_owned());
                let file = reference.attribute("FileRef").unwrap_or_default().to_owned();
                read.references.push((file, value.unwrap_or_default()));
            }
        }
        Ok(read)
    }

    /// Whether the digest method named is SM3. One that is not, proves nothing: MD5 and SHA-1 collide at will.
    #[must_use]
    pub fn is_sm3(&self) -> bool {
        // .401.2 is the keyed form; one vendor names it and computes the plain one.
        let names = ["SM3", "1.2.156.10197.1.401", "1.2.156.10197.1.401.1", "1.2.156.10197.1.401.2"];
        self.check_method
            .as_deref()
            .is_some_and(|method| names.iter().any(|name| method.trim().eq_ignore_ascii_case(name)))
    }

    /// Whether the signature algorithm named is SM2 with SM3, or none is.
    #[must_use]
    pub fn is_sm2(&self) -> bool {
        let names = [
            "SM2",
            "SM2WITHSM3",
            "1.2.156.10197.1.501",
            "1.2.156.10197.1.301.1",
            "1.2.156.10197.1.301",
            "1.2.156.10197.501",
        ];
        self.method.as_deref().is_none_or(|method| names.iter().any(|name| method.eq_ignore_ascii_case(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATIVE: &[u8] = include_bytes!("../../tests/samples/ofd/relative-paths-ofdxml-uncovered.ofd");

    #[test]
    fn paths_lead_to_one_part_or_to_none() {
        let container = Container::open(RELATIVE, &LIMITS).unwrap();
        let from = |from, path| resolve(&container, from, path).part();
        let list = Some("Doc_0/Signs/Signatures.xml".to_owned());
        assert_eq!(from("OFD.xml", "/Doc_0/Signs/Signatures.xml"), list);
        assert_eq!(from("Doc_0/Document.xml", "Signs/Signatures.xml"), list);
        assert_eq!(from("Doc_0/Document.xml", "Doc_0/Signs/Signatures.xml"), list);
        assert_eq!(from("Doc_0/Pages/Page_0/Content.xml", "..\\../Signs/./Signatures.xml"), list);
        for none in ["../../OFD.xml", "/../OFD.xml", "ofd.xml", "/Doc_0", ""] {
            assert_eq!(resolve(&container, "Doc_0/Document.xml", none), Found::Nothing, "{none}");
        }
    }

    #[test]
    fn a_packages_pages_and_signatures_are_found_as_it_names_them() {
        let container = Container::open(RELATIVE, &LIMITS).unwrap();
        let package = Package::read(&container).unwrap();
        let [body] = package.bodies.as_slice() else { panic!() };
        assert_eq!((body.pages.len(), body.missing.len()), (5, 0));
        let list = body.signatures.as_ref().unwrap();
        assert_eq!(list.entries[0].path.as_deref(), Some("Doc_0/Signs/Sign_0/Signature.xml"));
        assert_eq!((list.entries[0].id.as_str(), list.irregular.len()), ("1", 0));
    }
}
