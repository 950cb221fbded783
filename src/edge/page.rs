//! Page tokens: opaque, bound to caller and listing, good for 30 minutes.
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::policy::Caller;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

const GOOD_MS: u64 = 30 * 60 * 1_000;

/// Makes and reads the tokens of one listing for one caller.
pub struct PageTokens<'a> {
    exchange: &'a Exchange,
    listing: String,
}

impl<'a> PageTokens<'a> {
    /// Tokens of a listing; `listing` names the rpc and its filter.
    #[must_use]
    pub fn new(exchange: &'a Exchange, caller: &Caller, listing: &str) -> Self {
        Self { exchange, listing: format!("{}\0{listing}", caller.uri) }
    }

    /// The token of the page after a key.
    #[must_use]
    pub fn make(&self, key: &[u8; 16]) -> String {
        let until = self.exchange.clock.now_ms().saturating_add(GOOD_MS).to_be_bytes();
        let body = [key.as_slice(), &until].concat();
        let mac = self.mac(&body);
        BASE64.encode([body.as_slice(), &mac].concat())
    }

    /// The key a token holds; `None` for the empty one.
    ///
    /// # Errors
    /// REQUEST_MALFORMED for another caller's, another listing's or an old one.
    pub fn read(&self, token: &str) -> Result<Option<[u8; 16]>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = || {
            let zh = "翻页标记无效或已过期，请从第一页重新查询。";
            Failure::field("page_token", zh, "Not a token of this listing, or older than 30 minutes: begin again.")
        };
        let bytes = BASE64.decode(token).map_err(|_| wrong())?;
        let (body, mac) = bytes.split_at_checked(24).ok_or_else(wrong)?;
        let (key, until) = body.split_first_chunk::<16>().ok_or_else(wrong)?;
        let until = u64::from_be_bytes(until.try_into().map_err(|_| wrong())?);
        let good = mac == self.mac(body) && self.exchange.clock.now_ms() <= until;
        if good { Ok(Some(*key)) } else { Err(wrong()) }
    }

    fn mac(&self, body: &[u8]) -> [u8; 32] {
        self.exchange.vault.mac("page", &[self.listing.as_bytes(), &[0], body].concat())
    }
}
