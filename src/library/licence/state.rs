//! The lifecycle: 有效 ⇄ 暂扣; 有效 or 暂扣 → an end state; an end state returns only by a Restore order naming a ruling.
use crate::failure::Reason;
use crate::wire::proto::library::v1::LicenceState;
use crate::wire::proto::licence::v1::{LicenceOrder, OrderAction};

/// The state after an order.
///
/// # Errors
/// [`Reason::OrderRequired`] for leaving an end state by anything but a Restore that names its ruling;
/// [`Reason::TransitionNotAllowed`] for what the present state does not allow.
pub fn after(state: LicenceState, order: &LicenceOrder) -> Result<LicenceState, Reason> {
    use LicenceState as State;
    use OrderAction as Action;
    let action = order.action();
    let ended = !matches!(state, State::Valid | State::Suspended);
    if ended {
        let named = !order.ruling_document.trim().is_empty();
        return if action == Action::Restore && named { Ok(State::Valid) } else { Err(Reason::OrderRequired) };
    }
    match (state, action) {
        (State::Valid, Action::Amend | Action::Renew) | (State::Suspended, Action::Resume) => Ok(State::Valid),
        (State::Valid, Action::Suspend) => Ok(State::Suspended),
        (_, Action::Rescind) => Ok(State::Rescinded),
        (_, Action::Revoke) => Ok(State::Revoked),
        (_, Action::Cancel) => Ok(State::Cancelled),
        (_, Action::Lapse) => Ok(State::Lapsed),
        (_, Action::TransferOut) => Ok(State::TransferredOut),
        _ => Err(Reason::TransitionNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: LicenceState, action: OrderAction, ruling: &str, expected: Result<LicenceState, Reason>) {
        let order = LicenceOrder { action: action as i32, ruling_document: ruling.into(), ..LicenceOrder::default() };
        assert_eq!(after(state, &order), expected, "{state:?} {action:?} {ruling:?}");
    }

    #[test]
    fn an_end_state_is_left_only_by_a_restore_that_names_its_ruling() {
        use LicenceState::{Cancelled, Lapsed, Rescinded, Revoked, TransferredOut, Valid};
        for end in [Rescinded, Revoked, Cancelled, Lapsed, TransferredOut] {
            check(end, OrderAction::Restore, "(2026)浙1023行初1号", Ok(Valid));
            check(end, OrderAction::Restore, " ", Err(Reason::OrderRequired));
            check(end, OrderAction::Resume, "x", Err(Reason::OrderRequired));
            check(end, OrderAction::Amend, "x", Err(Reason::OrderRequired));
        }
    }

    #[test]
    fn a_suspended_licence_is_neither_amended_nor_suspended_again() {
        use LicenceState::{Revoked, Suspended, Valid};
        check(Valid, OrderAction::Suspend, "", Ok(Suspended));
        check(Suspended, OrderAction::Resume, "", Ok(Valid));
        check(Suspended, OrderAction::Revoke, "", Ok(Revoked));
        check(Suspended, OrderAction::Suspend, "", Err(Reason::TransitionNotAllowed));
        check(Suspended, OrderAction::Amend, "", Err(Reason::TransitionNotAllowed));
        check(Valid, OrderAction::Resume, "", Err(Reason::TransitionNotAllowed));
        check(Valid, OrderAction::Restore, "x", Err(Reason::TransitionNotAllowed));
    }
}
