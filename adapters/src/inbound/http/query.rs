//! Query strings: yes-or-no parameters, and nothing else.

use axum::extract::Query;
use axum::http::Uri;

use super::problem::Problem;

/// The only parameter that a route knows: `true`, `false`, or left out, which is `false`. A misspelt parameter is a
/// fault, not a `false`: "end all sessions" must not quietly leave one out.
pub(super) fn flag(uri: &Uri, name: &'static str) -> Result<bool, Problem> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(Problem::invalid_query(name));
    };
    match pairs.as_slice() {
        [] => Ok(false),
        [(given, value)] if given == name && value == "true" => Ok(true),
        [(given, value)] if given == name && value == "false" => Ok(false),
        _ => Err(Problem::invalid_query(name)),
    }
}
