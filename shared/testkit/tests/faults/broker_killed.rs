//! RabbitMQ is killed (SIGKILL) and started again.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_killed() {
    let mut drill = Drill::start("broker-killed").await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    drill.stack.kill("rabbitmq").await;
    drill.stack.start_server("rabbitmq").await;

    drill.finish(loading, &fault, Duration::from_mins(2)).await;
    drill.assert_rose(&["caraway_broker_reconnects_total", "caraway_relay_published_total"]).await;
}
