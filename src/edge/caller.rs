//! Who is calling, for a service: from the connection's certificate, never from a message.
use super::identity::Peer;
use super::stack::RequestId;
use super::status::{request_of, to_status};
use crate::failure::{Failure, Reason};
use crate::policy::Caller;
use tonic::{Request, Status};

/// A request taken apart: who, which call, what.
pub struct Called<T> {
    /// The calling system.
    pub caller: Caller,
    /// The call's name.
    pub request: Option<RequestId>,
    /// The message.
    pub message: T,
}

impl<T> Called<T> {
    /// Takes a request apart.
    ///
    /// # Errors
    /// UNAUTHENTICATED / CALLER_UNKNOWN where the stack put no peer in (which it never lets pass).
    pub fn of(request: Request<T>) -> Result<Self, Status> {
        let id = request_of(&request);
        let peer = request.extensions().get::<Peer>().cloned();
        let caller = peer.and_then(|peer| Caller::from_certificate(&peer.uri, &peer.serial, peer.fingerprint));
        let Some(caller) = caller else {
            return Err(to_status(&Failure::new(Reason::CallerUnknown), id.as_ref()));
        };
        Ok(Self { caller, request: id, message: request.into_inner() })
    }

    /// The status of a failure of this call.
    pub fn failed(&self, failure: &Failure) -> Status {
        to_status(failure, self.request.as_ref())
    }
}
