//! Who is calling, for a service: from the connection's certificate, never from a message.
use super::stack::RequestId;
use super::status::{request_of, to_status};
use crate::failure::{Failure, Reason};
use crate::policy::Caller;
use std::sync::Arc;
use tonic::{Request, Status};

/// A request taken apart: who, which call, what.
pub struct Called<T> {
    /// The calling system.
    pub caller: Arc<Caller>,
    /// The call's name.
    pub request: Option<RequestId>,
    /// The message.
    pub message: T,
}

impl<T> Called<T> {
    /// Takes a request apart.
    ///
    /// # Errors
    /// UNAUTHENTICATED / CALLER_UNKNOWN where the stack put no caller in (which it never lets pass).
    pub fn of(request: Request<T>) -> Result<Self, Status> {
        let id = request_of(&request);
        let Some(caller) = request.extensions().get::<Arc<Caller>>().cloned() else {
            return Err(to_status(&Failure::new(Reason::CallerUnknown), id.as_ref()));
        };
        Ok(Self { caller, request: id, message: request.into_inner() })
    }

    /// The status of a failure of this call.
    pub fn failed(&self, failure: &Failure) -> Status {
        to_status(failure, self.request.as_ref())
    }
}
