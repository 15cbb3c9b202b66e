//! `regrant session`: look at sessions, and end them.

use clap::{ArgGroup, Args, Subcommand};
use regrant_domain::address::AddressRange;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::EndOutcome;
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::operate::{Act, Operate, Which, Who};

use super::ask;
use super::progress::Progress;
use super::shown::{self, Format};
use super::user::no_such;
use crate::compose::{self, Purpose};
use crate::failure::{Failure, Kind};
use crate::output;
use crate::settings::{Settings, duration};

const EXAMPLES: &str = "\
Examples:
  regrant session end 01a1fc2b-5ec1-7a2c-a8d1-f5d2616b16a8
  regrant session end --user ada@example.org
  regrant session end --where --address 203.0.113.0/24 --created-before 30d --dry-run
  regrant session end --where --user-agent 'OldApp/1.' --yes

Running services see an end at once. With --where, a session that is opened meanwhile may be missed.";

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List a user's sessions that are still kept, live ones first
    List(List),
    /// Show a session
    Show(Show),
    /// End one session, all sessions of a user, or those that meet conditions
    #[command(after_help = EXAMPLES)]
    End(End),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// E-mail address or id
    #[arg(long, value_name = "EMAIL|ID", value_parser = Who::parse)]
    user: Who,
    /// Only live ones
    #[arg(long)]
    live: bool,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Id of the session
    id: SessionId,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

// Beside an argument that excludes `--where`, `requires` asks for nothing: hence both.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "user", "where"])))]
pub(super) struct End {
    /// Id of the session
    id: Option<SessionId>,
    /// All of this user's sessions, a sign-in that is under way included
    #[arg(long, value_name = "EMAIL|ID", value_parser = Who::parse)]
    user: Option<Who>,
    /// All live sessions that meet every condition that is given (at least one)
    #[arg(long = "where", id = "where")]
    by_conditions: bool,
    /// Condition: signed in before this instant (RFC 3339), or longer ago than this (90s, 15m, 1h, 30d)
    #[arg(long, value_name = "INSTANT|DURATION", value_parser = before, requires = "where", conflicts_with_all = ["id", "user"])]
    created_before: Option<Before>,
    /// Condition: signed in from this address, or from this range, such as 192.0.2.0/24
    #[arg(long, value_name = "IP|CIDR", requires = "where", conflicts_with_all = ["id", "user"])]
    address: Option<AddressRange>,
    /// Condition: signed in with a user agent that contains this text, in upper and lower case as written
    #[arg(long, value_name = "TEXT", requires = "where", conflicts_with_all = ["id", "user"], value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user_agent: Option<String>,
    /// Print how many sessions meet the conditions, and end none
    #[arg(long, requires = "where", conflicts_with_all = ["id", "user"])]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy)]
enum Before {
    Instant(Timestamp),
    Ago(std::time::Duration),
}

fn before(text: &str) -> Result<Before, String> {
    match (text.parse(), duration::parse(text)) {
        (Ok(instant), _) => Ok(Before::Instant(instant)),
        (_, Ok(span)) => Ok(Before::Ago(span)),
        (Err(why), Err(_)) => Err(format!("{why}, or a duration such as 30d")),
    }
}

pub(super) async fn run(settings: &Settings, what: &Session) -> Result<(), Failure> {
    // Whoever cannot be asked is told before anything is opened.
    if let Session::End(what @ End { by_conditions: true, .. }) = what {
        what.is_bounded()?;
    }
    let app = compose::open(settings, Purpose::Tend).await?;
    let done = match what {
        Session::List(what) => list(&app.operate, what).await,
        Session::Show(what) => show(&app.operate, what).await,
        Session::End(what) => end(&app.operate, what).await,
    };
    app.close().await;
    done
}

async fn list(operate: &Operate, what: &List) -> Result<(), Failure> {
    let listed = operate.sessions_of(&what.user).await.map_err(|error| Failure::of(&error))?;
    let listed = listed.ok_or_else(|| no_such(&what.user))?;
    if what.format == Format::Table {
        output::line(shown::sessions_head());
    }
    for session in listed.sessions.iter().filter(|session| !what.live || session.is_live(listed.at)) {
        match what.format {
            Format::Table => output::line(shown::session_line(session, listed.at)),
            Format::Json => output::line(shown::session_json(session, listed.at)),
        }
    }
    Ok(())
}

async fn show(operate: &Operate, what: &Show) -> Result<(), Failure> {
    let found = operate.session(what.id).await.map_err(|error| Failure::of(&error))?;
    let (session, at) = found.ok_or_else(|| no_session(what.id))?;
    match what.format {
        Format::Table => output::line(shown::session_rows(&session, at)),
        Format::Json => output::line(shown::session_json(&session, at)),
    }
    Ok(())
}

fn no_session(id: SessionId) -> Failure {
    Failure::new(format!("there is no session {id} (any more)"))
}

async fn end(operate: &Operate, what: &End) -> Result<(), Failure> {
    if let Some(id) = what.id {
        return end_one(operate, id).await;
    }
    if let Some(user) = &what.user {
        let ended = operate.end_sessions_of(user).await.map_err(|error| Failure::of(&error))?;
        let ended = ended.ok_or_else(|| no_such(user))?;
        output::line(format_args!("Ended {ended} sessions."));
        return Ok(());
    }
    end_where(operate, what).await
}

async fn end_one(operate: &Operate, id: SessionId) -> Result<(), Failure> {
    match operate.end_session(id).await.map_err(|error| Failure::of(&error))? {
        EndOutcome::Ended => output::line("Ended 1 session."),
        EndOutcome::AlreadyEnded | EndOutcome::Moved => output::line("It had ended before."),
        EndOutcome::NotFound => return Err(no_session(id)),
    }
    Ok(())
}

async fn end_where(operate: &Operate, what: &End) -> Result<(), Failure> {
    let which = what.which(operate);
    if what.dry_run {
        let met = look_at_all(operate, &which, Act::Count).await?;
        output::line(format_args!("{met} sessions meet the conditions; none was ended."));
        return Ok(());
    }
    if !what.yes {
        let met = look_at_all(operate, &which, Act::Count).await?;
        if !ask::is_meant(&format!("End {met} sessions?"))? {
            output::line("None was ended.");
            return Ok(());
        }
    }
    let ended = look_at_all(operate, &which, Act::End).await?;
    output::line(format_args!("Ended {ended} sessions."));
    Ok(())
}

/// How many live sessions met the conditions, or were ended.
async fn look_at_all(operate: &Operate, which: &Which, act: Act) -> Result<u64, Failure> {
    let mut progress = Progress::new(None);
    let (mut looked_at, mut met, mut after) = (0, 0, None);
    loop {
        let looked = operate.look(which, after, act).await.map_err(|error| {
            progress.finish();
            Failure::of(&error).advise("run it again: sessions that have ended stay so")
        })?;
        looked_at += looked.looked_at;
        met += looked.met;
        let did = if act == Act::End { "ended" } else { "counted" };
        progress.at(looked_at, format!("{looked_at} sessions looked at, {met} {did}"));
        after = looked.next;
        if after.is_none() {
            progress.finish();
            return Ok(met);
        }
    }
}

impl End {
    /// A failure if it would end everything, or if nobody can be asked whether it is meant.
    fn is_bounded(&self) -> Result<(), Failure> {
        if self.created_before.is_none() && self.address.is_none() && self.user_agent.is_none() {
            let failure = Failure::new("--where needs a condition: --created-before, --address or --user-agent");
            return Err(Failure { kind: Kind::Configuration, ..failure });
        }
        if self.dry_run || self.yes { Ok(()) } else { ask::answerable() }
    }

    fn which(&self, operate: &Operate) -> Which {
        let created_before = self.created_before.map(|before| match before {
            Before::Instant(instant) => instant,
            Before::Ago(span) => operate.ago(span),
        });
        Which { created_before, address: self.address, user_agent: self.user_agent.clone() }
    }
}
