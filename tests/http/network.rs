//! The same service behind a socket.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::every_route::{ROUTES, Scene};
use crate::support::transport::Transport;
use crate::support::unsteady::Health;
use crate::support::world::World;

/// Serves the world at an address of its own.
async fn serve(world: &World) -> (Transport, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = world.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Transport::Network { base: format!("http://{address}"), client: reqwest::Client::new() }, address)
}

#[tokio::test]
async fn every_route_does_its_work_over_a_network() {
    for route in &ROUTES {
        let scene = Scene::new().await;
        let (network, _) = serve(&scene.world).await;
        let answer = network.send(scene.proper(route)).await;
        assert!(answer.is(route.status).header("cache-control").is_some());
    }
}

#[tokio::test]
async fn people_act_over_a_network() {
    let world = World::new();
    let (network, _) = serve(&world).await;
    let mut phone = network.signs_up("ada@example.org").await.signs_in().await;
    phone.refreshes().await.is_granted();
    phone.is_signed_in().await;
    phone.revokes().await.is(204);
    phone.refreshes().await.is_refused("signed_out");
}

#[tokio::test]
async fn a_socket_that_closes_does_not_cancel_what_was_begun() {
    let mut scene = Scene::new().await;
    let (_, address) = serve(&scene.world).await;
    scene.world.sessions.becomes(Health::Stuck);
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let token = &scene.phone.refresh;
    let request = format!("POST /api/refresh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(super::abandoned::MOMENT).await;
    drop(socket);
    tokio::time::sleep(super::abandoned::MOMENT).await;
    scene.world.sessions.becomes(Health::Well);
    super::abandoned::a_rotation_is_told(&scene.world).await;
    scene.phone.refreshes().await.is_granted();
}
