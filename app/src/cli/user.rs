//! `regrant user`: look at users, add one, change or delete one, import many.

use clap::{Args, Subcommand};
use regrant_domain::ids::UserId;
use regrant_domain::usecases::operate::{Added, Operate, PasswordSet, Who};
use regrant_domain::user::Email;

use super::import::Import;
use super::shown::{self, Format};
use super::{ask, import};
use crate::compose::{self, App, Purpose};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Users per batch.
const BATCH: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// List users, in the order of their ids
    List(List),
    /// Show a user
    Show(Show),
    /// Add a user; the password is asked for at the terminal, or read from standard input
    Add {
        /// E-mail address
        #[arg(value_name = "EMAIL", value_parser = Email::parse)]
        email: Email,
    },
    /// Set a user's password and end all of the user's sessions; the password is read as for `add`
    SetPassword {
        /// E-mail address or id
        #[arg(value_name = "EMAIL|ID", value_parser = Who::parse)]
        user: Who,
    },
    /// Delete a user and all of the user's sessions
    Delete(Delete),
    /// Import users with the hashes of their passwords
    #[command(after_help = import::HELP)]
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Begin after this user
    #[arg(long, value_name = "ID")]
    after: Option<UserId>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// E-mail address or id
    #[arg(value_name = "EMAIL|ID", value_parser = Who::parse)]
    user: Who,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// E-mail address or id
    #[arg(value_name = "EMAIL|ID", value_parser = Who::parse)]
    user: Who,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(settings: &Settings, what: &User) -> Result<(), Failure> {
    // Whoever has to be asked is asked before anything is opened.
    let password = match what {
        User::Add { .. } | User::SetPassword { .. } => Some(ask::new_password()?),
        User::Delete(Delete { yes: false, .. }) => ask::answerable().map(|()| None)?,
        _ => None,
    };
    let app = compose::open(settings, Purpose::Tend).await?;
    let done = match (what, password) {
        (User::List(what), _) => list(&app.operate, what).await,
        (User::Show(what), _) => show(&app.operate, what).await,
        (User::Add { email }, Some(password)) => add(&app, email, password).await,
        (User::SetPassword { user }, Some(password)) => set_password(&app, user, password).await,
        (User::Delete(what), _) => delete(&app.operate, what).await,
        (User::Import(what), _) => import::run(&app.import, what).await,
        // A password was asked for where one is needed.
        (User::Add { .. } | User::SetPassword { .. }, None) => Ok(()),
    };
    app.close().await;
    done
}

async fn list(operate: &Operate, what: &List) -> Result<(), Failure> {
    if what.format == Format::Table {
        output::line(shown::users_head());
    }
    let (mut after, mut left) = (what.after, what.limit.unwrap_or(u64::MAX));
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(u32::MAX).min(BATCH);
        let users = operate.users_after(after, limit).await.map_err(|error| Failure::of(&error))?;
        let Some(last) = users.last() else { break };
        after = Some(last.id);
        left -= users.len() as u64;
        for user in &users {
            match what.format {
                Format::Table => output::line(shown::user_line(user)),
                Format::Json => output::line(shown::user_json(user)),
            }
        }
    }
    Ok(())
}

async fn show(operate: &Operate, what: &Show) -> Result<(), Failure> {
    let failure = |error| Failure::of(&error);
    let user = operate.user(&what.user).await.map_err(failure)?.ok_or_else(|| no_such(&what.user))?;
    let sessions = operate.sessions_of(&Who::Id(user.id)).await.map_err(failure)?;
    let sessions = sessions.ok_or_else(|| no_such(&what.user))?;
    match what.format {
        Format::Table => output::line(shown::user_rows(&user, &sessions.sessions, sessions.at)),
        Format::Json => {
            let mut json = shown::user_json(&user);
            let live = sessions.sessions.iter().filter(|session| session.is_live(sessions.at)).count();
            json["sessions"] = serde_json::json!({ "live": live, "over": sessions.sessions.len() - live });
            output::line(json);
        }
    }
    Ok(())
}

async fn add(app: &App, email: &Email, password: regrant_domain::user::Password) -> Result<(), Failure> {
    match app.operate.add_user(email.clone(), password).await.map_err(|error| Failure::of(&error))? {
        Added::Added(user) => {
            output::line(format_args!("Added {} as {}.", shown::plain(user.email.as_str()), user.id));
            Ok(())
        }
        Added::EmailTaken => Err(Failure::new("a user with this e-mail address is there already")),
        Added::PasswordRefused(why) => Err(Failure::of(&why)),
    }
}

async fn set_password(app: &App, who: &Who, password: regrant_domain::user::Password) -> Result<(), Failure> {
    match app.operate.set_password(who, password).await.map_err(|error| Failure::of(&error))? {
        PasswordSet::Done { ended } => {
            output::line(format_args!("The password is set; {ended} sessions ended."));
            Ok(())
        }
        PasswordSet::NotFound => Err(no_such(who)),
        PasswordSet::PasswordRefused(why) => Err(Failure::of(&why)),
        PasswordSet::Overtaken => {
            Err(Failure::new("the password was changed by somebody else at the same time").advise("set it again"))
        }
    }
}

async fn delete(operate: &Operate, what: &Delete) -> Result<(), Failure> {
    let user = operate.user(&what.user).await.map_err(|error| Failure::of(&error))?;
    let user = user.ok_or_else(|| no_such(&what.user))?;
    let name = shown::plain(user.email.as_str());
    if !what.yes && !ask::is_meant(&format!("Delete {name} and all of the user's sessions?"))? {
        output::line("Nothing was deleted.");
        return Ok(());
    }
    let ended = operate.delete_user(&Who::Id(user.id)).await.map_err(|error| Failure::of(&error))?;
    let ended = ended.ok_or_else(|| no_such(&what.user))?;
    output::line(format_args!("Deleted {name}; {ended} sessions ended."));
    Ok(())
}

/// Nobody is called so.
pub(super) fn no_such(who: &Who) -> Failure {
    let who = match who {
        Who::Id(id) => id.to_string(),
        Who::Email(email) => shown::plain(email.as_str()),
    };
    Failure::new(format!("there is no user {who}")).advise("look with `regrant user list`")
}
