//! `regrant client`: programs that may ask about tokens at `/oauth/introspect`.

use clap::Subcommand;
use serde_json::json;

use super::shown::Format;
use crate::compose::client;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Make a secret, and the line of the configuration that makes it valid; changes nothing
    ///
    /// The secret is shown here and nowhere else: the configuration holds its hash. To change a secret, add the new line beside
    /// the old one, restart, give the new secret to the program, and remove the old line.
    New {
        /// The program's name (its `client_id`): 1 to 64 letters, digits, and . _ -
        name: String,
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

pub(super) fn run(what: &Client) -> Result<(), Failure> {
    let Client::New { name, format } = what;
    let (client, secret) = client::new(name)?;
    let (secret, line) = (secret.expose(), client.to_string());
    match format {
        Format::Table => {
            output::line(format_args!("client_id      {name}\nclient_secret  {secret}\n"));
            output::line("Only its hash belongs into the configuration:\n");
            output::line(format_args!("[oauth]\nclients = [\"{line}\"]"));
        }
        Format::Json => output::line(json!({ "client_id": name, "client_secret": secret, "entry": line })),
    }
    Ok(())
}
