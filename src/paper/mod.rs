//! Papers people bring (版式文件): what they are, who signed them, and what those signatures cover.
//!
//! Promise: "the whole document is valid" is said only where every signature is good and together they cover every part of the file;
//! everything else is said as it is. Hostile input costs bounded time and memory. Follows GB/T 33190-2016 (OFD) and GM/T 0099-2020.
//! Deliberately absent: rendering, fetching anything a file points to, judging PDF, images and scans.
pub mod anchors; // whom to believe, from files
pub mod command; // `document verify`, in both binaries
pub mod container; // the ZIP, read strictly
pub mod judge; // a paper judged
pub mod package; // what an OFD package says of itself
pub mod reasons; // why a file cannot be read, in two languages
pub mod report; // the verdict for programs and for clerks
pub mod xml; // XML without surprises

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ZIP: an OFD, if anything.
    Ofd,
    /// PDF.
    Pdf,
    /// A picture: a photo or a scan.
    Image(&'static str),
    /// None of these.
    Unknown,
}

impl Kind {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let begins = |magic: &[u8]| bytes.starts_with(magic);
        if container::is_zip(bytes) {
            Self::Ofd
        } else if bytes.get(..1_024).unwrap_or(bytes).windows(5).any(|window| window == b"%PDF-") {
            Self::Pdf
        } else if begins(b"\x89PNG\r\n\x1a\n") {
            Self::Image("png")
        } else if begins(b"\xff\xd8\xff") {
            Self::Image("jpeg")
        } else if begins(b"GIF87a") || begins(b"GIF89a") {
            Self::Image("gif")
        } else if begins(b"II*\0") || begins(b"MM\0*") {
            Self::Image("tiff")
        } else if begins(b"BM") {
            Self::Image("bmp")
        } else if begins(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Self::Image("webp")
        } else {
            Self::Unknown
        }
    }

    /// `ofd`, `pdf`, `png` …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ofd => "ofd",
            Self::Pdf => "pdf",
            Self::Image(format) => format,
            Self::Unknown => "unknown",
        }
    }
}
