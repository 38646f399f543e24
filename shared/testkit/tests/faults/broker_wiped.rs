//! RabbitMQ loses its disk: killed, its data directory removed, started again with nothing.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_data_is_removed() {
    let mut drill = Drill::start("broker-wiped").await;
    let broker = drill.place.broker().await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    let lost = broker.ready(drill.place.queue()).await;
    drill.stack.kill("rabbitmq").await;
    drill.stack.wipe_data("rabbitmq");
    drill.stack.start_server("rabbitmq").await;
    assert!(lost > 0, "there was nothing to lose: the workers are too fast for this test");
    println!("broker-wiped: messages lost {lost}");

    drill.finish(loading, &fault, Duration::from_mins(3)).await;
    drill.assert_rose(&["caraway_audit_owed_again_total", "caraway_broker_reconnects_total"]).await;
}
