//! People and their devices. They know a transport and nothing else, so that they can act on any server.

use serde_json::{Value, json};

use super::transport::{Answer, Call, Transport};

/// Somebody with an account.
#[derive(Clone)]
pub(crate) struct Person {
    transport: Transport,
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password: String,
}

/// A signed-in device, with the tokens that it holds.
#[derive(Clone)]
pub(crate) struct Device {
    transport: Transport,
    pub(crate) session: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Transport {
    /// Somebody signs up.
    pub(crate) async fn signs_up(&self, email: &str) -> Person {
        let password = format!("the pass phrase of {email}");
        let call = Call::post("/api/users").json(json!({ "email": email, "password": password }));
        let answer = self.send(call).await;
        let id = text(&answer.is(201).json(), "id");
        Person { transport: self.clone(), id, email: email.to_owned(), password }
    }
}

impl Person {
    /// Somebody who has signed up before.
    pub(crate) fn known(transport: &Transport, email: &str, password: &str) -> Self {
        let (email, password) = (email.to_owned(), password.to_owned());
        Self { transport: transport.clone(), id: String::new(), email, password }
    }

    /// The same person, at another instance of the service.
    pub(crate) fn at(&self, transport: &Transport) -> Self {
        Self { transport: transport.clone(), ..self.clone() }
    }

    /// Signs in, and gets a session.
    pub(crate) async fn signs_in(&self) -> Device {
        let answer = self.tries(&self.password).await;
        self.device(&answer)
    }

    /// The device that this answer signed in.
    #[track_caller]
    pub(crate) fn device(&self, answer: &Answer) -> Device {
        let body = answer.is(200).json();
        Device {
            transport: self.transport.clone(),
            session: text(&body, "session_id"),
            access: text(&body, "token"),
            refresh: text(&body, "refresh_token"),
        }
    }

    /// Signs in with this password.
    pub(crate) async fn tries(&self, password: &str) -> Answer {
        let body = json!({ "email": self.email, "password": password });
        self.transport.send(Call::post("/api/login").json(body)).await
    }
}

impl Device {
    /// The same device, at another instance of the service.
    pub(crate) fn at(&self, transport: &Transport) -> Self {
        Self { transport: transport.clone(), ..self.clone() }
    }

    /// Refreshes with the token it holds, and keeps what it gets.
    pub(crate) async fn refreshes(&mut self) -> Refreshed {
        let refreshed = self.presents(&self.refresh).await;
        if refreshed.0.status == 200 {
            let body = refreshed.0.json();
            self.access = text(&body, "token");
            if let Some(next) = body["refresh_token"].as_str() {
                next.clone_into(&mut self.refresh);
            }
        }
        refreshed
    }

    /// Presents a refresh token, and keeps nothing.
    pub(crate) async fn presents(&self, token: &str) -> Refreshed {
        Refreshed(self.transport.send(Call::post("/api/refresh").bearer(token)).await)
    }

    /// The same, with a retry key.
    pub(crate) async fn presents_with_key(&self, token: &str, key: &str) -> Refreshed {
        Refreshed(self.transport.send(Call::post("/api/refresh").bearer(token).header("idempotency-key", key)).await)
    }

    /// Takes the tokens of an answer that granted some.
    #[track_caller]
    pub(crate) fn takes(&mut self, granted: &Answer) {
        let body = granted.is(200).json();
        (self.access, self.refresh) = (text(&body, "token"), text(&body, "refresh_token"));
    }

    /// Revokes the token it holds.
    pub(crate) async fn revokes(&self) -> Answer {
        self.transport.send(Call::post("/api/revoke").bearer(&self.refresh)).await
    }

    /// Sends a request with its access token.
    pub(crate) async fn asks(&self, call: Call) -> Answer {
        self.transport.send(call.bearer(&self.access)).await
    }

    /// The user's sessions.
    pub(crate) async fn lists_sessions(&self) -> Vec<Value> {
        self.asks(Call::get("/api/sessions")).await.is(200).json().as_array().unwrap().clone()
    }

    /// Asserts that its access token is accepted.
    pub(crate) async fn is_signed_in(&self) {
        self.asks(Call::get("/api/me")).await.is(200);
    }

    /// Asserts that its access token is refused, for this reason.
    pub(crate) async fn is_signed_out(&self, code: &str) {
        self.asks(Call::get("/api/me")).await.is_problem(401, code);
    }
}

/// What a refresh came to.
pub(crate) struct Refreshed(pub(crate) Answer);

impl Refreshed {
    /// Asserts new tokens, and returns the refresh token.
    #[track_caller]
    pub(crate) fn is_granted(&self) -> String {
        text(&self.0.is(200).json(), "refresh_token")
    }

    /// Asserts a refusal of an authentic token.
    #[track_caller]
    pub(crate) fn is_refused(&self, code: &str) {
        self.0.is_problem(401, code);
    }
}

/// A field that must be a text.
#[track_caller]
fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {body}")).to_owned()
}
