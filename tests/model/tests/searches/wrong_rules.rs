//! Rules that are wrong on purpose, each by one change to the domain's own.

use std::time::Duration;

use regrant_domain::decide::{Advance, Asked, Decision, Rules, decide};
use regrant_domain::policy::{AfterWindow, RefreshPolicy};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::refresh_token::{Generation, Presented, RefreshToken, TokenState};
use regrant_domain::session::{Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;
use regrant_model::rules::{RuleSet, ring, token_key};

/// What is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wrong {
    /// The predecessor of the current token is answered with it for ever.
    ParentForEver,
    /// Within the window, the predecessor gets a successor of its own, and each sibling may go on.
    Siblings,
    /// Within the window, the predecessor is rotated again; the child that it had dies.
    RotatesAgain,
    /// Strict mode counts the window all the same.
    StrictWithWindow,
    /// Any ancestor of the current token is adopted back to where it was.
    AncestorsGoBack,
    /// Rule 9 is left out.
    LateDuplicatesEnd,
    /// Rules 2 and 3 are left out.
    NothingExpires,
    /// Rule 1 is left out.
    EndedIsLive,
    /// Reuse is refused, and nothing ends.
    ReuseIsRefused,
}

impl RuleSet for Wrong {
    fn decide(&self, snapshot: Option<&Snapshot>, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
        let Some(snapshot) = snapshot else { return decide(None, asked, rules) };
        let Presented::Chained(token) = asked.presented else { return decide(Some(snapshot), asked, rules) };
        match self {
            Self::ParentForEver => {
                let policy = RefreshPolicy { replay_window: Duration::MAX, ..*rules.policy };
                decide(Some(snapshot), asked, &Rules { policy: &policy, ..*rules })
            }
            Self::StrictWithWindow => {
                let policy = RefreshPolicy { strict: false, ..*rules.policy };
                decide(Some(snapshot), asked, &Rules { policy: &policy, ..*rules })
            }
            Self::Siblings => siblings(snapshot, token, asked, rules),
            Self::RotatesAgain => rotates_again(snapshot, asked, rules),
            Self::AncestorsGoBack => ancestors_go_back(snapshot, token, asked, rules),
            Self::LateDuplicatesEnd => match decide(Some(snapshot), asked, rules) {
                Decision::Refuse(Refusal::Superseded) => Decision::End(EndReason::ReuseDetected),
                other => other,
            },
            Self::NothingExpires => {
                let mut unlimited = snapshot.clone();
                unlimited.session.ends_at = Timestamp::MAX;
                unlimited.token.expires_at = Timestamp::MAX;
                decide(Some(&unlimited), asked, rules)
            }
            Self::EndedIsLive => {
                let mut live = snapshot.clone();
                live.session.status = Status::Live;
                decide(Some(&live), asked, rules)
            }
            Self::ReuseIsRefused => match decide(Some(snapshot), asked, rules) {
                Decision::End(_) => Decision::Refuse(Refusal::Superseded),
                other => other,
            },
        }
    }
}

/// A store has room for one current token, so a sibling of it is accepted by its generation. Random successors are
/// stood for by successors of other token keys.
fn siblings(snapshot: &Snapshot, token: &RefreshToken, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
    let held = snapshot.token.held;
    let Ok(any) = TokenKeyRing::new(token_key(0), vec![token_key(1), token_key(2)]) else { unreachable!("three keys") };
    let rules = Rules { ring: &any, ..*rules };
    let mut adopted = snapshot.clone();
    if token.generation == held.generation {
        adopted.token.held = token.held();
    }
    match decide(Some(&adopted), asked, &rules) {
        Decision::Rotate(advance) => Decision::Rotate(Advance { from: held, ..advance }),
        Decision::Replay(successor) => {
            let first = ring(1).successor(token, successor.generation);
            let other = if first.held() == held { ring(2).successor(token, successor.generation) } else { first };
            let state = TokenState { held: other.held(), ..snapshot.token.clone() };
            Decision::Rotate(Advance { from: held, token: other, state })
        }
        other => other,
    }
}

fn rotates_again(snapshot: &Snapshot, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
    let decision = decide(Some(snapshot), asked, rules);
    let Decision::Replay(_) = decision else { return decision };
    let policy = RefreshPolicy {
        replay_window: Duration::ZERO,
        strict: false,
        after_window: AfterWindow::Reissue,
        ..*rules.policy
    };
    match decide(Some(snapshot), &Asked { retry_key: None, ..*asked }, &Rules { policy: &policy, ..*rules }) {
        Decision::Reissue(advance) => Decision::Rotate(advance),
        other => other,
    }
}

fn ancestors_go_back(snapshot: &Snapshot, token: &RefreshToken, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
    match decide(Some(snapshot), asked, rules) {
        Decision::End(EndReason::ReuseDetected) => {
            let successor = rules.ring.successor(token, Generation(token.generation.0 + 1));
            let state = TokenState { held: successor.held(), ..snapshot.token.clone() };
            Decision::Rotate(Advance { from: snapshot.token.held, token: successor, state })
        }
        other => other,
    }
}
