//! Request bodies: flat JSON objects with text fields, or none at all.
//!
//! Deliberately absent: error messages of the JSON library, which quote the values they stumble over. A fault is told by
//! field name or by position, never by value.

use std::fmt;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use tokio::sync::SemaphorePermit;

use super::App;
use super::problem::Problem;

/// A body of type `T`.
pub(super) struct Json<T>(pub(super) T);

/// Something that is read from the fields of a JSON object.
pub(super) trait FromFields: Sized {
    /// All fields that it may have; any other is a fault.
    const FIELDS: &'static [&'static str];

    /// Takes what it needs.
    fn from_fields(fields: &mut Fields) -> Result<Self, Problem>;
}

impl<T: FromFields> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type());
        }
        let body = read(request.into_body(), app).await?;
        T::from_fields(&mut Fields::parse(&body.bytes, T::FIELDS)?).map(Self)
    }
}

/// Proof that the request has no body: its token came in the header, and there is no other parameter.
pub(super) struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Problem;

    /// Blanks, `{}` and `null` count as nothing: many clients cannot send less.
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = read(request.into_body(), app).await?;
        match body.bytes.trim_ascii() {
            b"" | b"{}" | b"null" => Ok(Self),
            _ => Err(Problem::invalid_request("This route takes no body; the token belongs into the Bearer header.")),
        }
    }
}

/// A body, and its share of the memory for bodies, which is free again when it is dropped.
pub(super) struct Read<'a> {
    pub(super) bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

/// Reads a body to its end.
pub(super) async fn read(body: Body, app: &App) -> Result<Read<'_>, Problem> {
    let limit = app.options().body_limit;
    // Hyper lets no body be longer than it was announced to be; one that was not announced may have any length.
    let length = body.size_hint().upper().map_or(limit, |upper| usize::try_from(upper).unwrap_or(usize::MAX));
    if length > limit {
        return Err(Problem::body_too_large(limit));
    }
    let share = match u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX) {
        0 => None,
        share => Some(app.0.bodies.try_acquire_many(share).map_err(|_| Problem::busy())?),
    };
    let read = Limited::new(body, limit).collect().await;
    let bytes = read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() { Problem::body_too_large(limit) } else { Problem::incomplete_body() }
    })?;
    Ok(Read { bytes, _share: share })
}

/// `application/json` or `application/…+json` (RFC 6839 §3.1), with or without parameters, once.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next().and_then(|only| only.to_str().ok()), types.next()) else { return false };
    let essence = only.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The fields of a JSON object, by their known names.
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn parse(body: &[u8], known: &'static [&'static str]) -> Result<Self, Problem> {
        let Pairs(pairs) = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => Problem::invalid_body(None, "The body must be a JSON object."),
            Category::Syntax | Category::Eof | Category::Io => Problem::invalid_json(error.line(), error.column()),
        })?;
        let mut fields: Vec<(&'static str, Value)> = Vec::with_capacity(known.len());
        for (name, value) in pairs {
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                let known = known.join(", ");
                return Err(Problem::invalid_body(None, format!("There is an unknown field. Known are: {known}.")));
            };
            if fields.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::invalid_body(Some(name), format!("The field {name} is there twice.")));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// A text that may be left out or be null.
    pub(super) fn optional(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => text(name, value).map(Some),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Result<String, Problem> {
        match self.take(name) {
            None => Err(Problem::invalid_body(Some(name), format!("The field {name} is missing."))),
            Some(value) => text(name, value),
        }
    }

    /// True or false; left out or null: false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Problem::invalid_body(Some(name), format!("The field {name} must be true or false."))),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn text(name: &'static str, value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Problem::invalid_body(Some(name), format!("The field {name} must be a string.")))
        }
    }
}

/// Every pair of an object as it is written, so that a name that is there twice can be told.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
