//! The proof that what is said rests on rows that opened, hashed and stand as computed now.

/// Something this room has verified: the row opened under its AEAD binding, its bytes hash to the digest the statement names,
/// dates and lifecycle state and the issuer's standing were judged at the view's instant. Made only in `library`.
#[must_use]
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(super) fn new(content: T) -> Self {
        Self(content)
    }

    /// The content, to be recorded.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}
