//! What tasks store of their own: items that are complete in memory, of no chunk's size, of one and of several.

use caraway_shared::{
    config::{Schema, prepare},
    store::{CHUNK_BYTES, NewItem, Store, StoreConfig},
    task::OwnerId,
};
use caraway_testkit::{Place, Stack};
use uuid::Uuid;

#[tokio::test]
async fn an_output_of_any_size_comes_back_whole_and_is_stored_once() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "outputs").await;
    let config = StoreConfig { url: place.servers().postgres_url.clone(), application: "outputs", connections: 2 };
    let store = Store::new(&config).expect("a store");
    prepare(&store, Schema::Migrate, None).await.expect("the database can be prepared");
    let database = place.database().await;

    let sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7];
    for size in sizes {
        let item = output(size, 1);
        store.put_item(&item).await.expect("it is stored");
        let again = NewItem { content: output(size, 2).content, ..item.clone() };
        store.put_item(&again).await.expect("a repeated attempt is no fault");

        let stored = store.item_content(item.owner, item.id).await.expect("an answer").expect("an item");
        assert!(stored == item.content, "{size} bytes came back as {} bytes, or other ones", stored.len());
        let chunks = database.number(&format!("SELECT count(*) FROM item_chunk WHERE item_id = '{}'", item.id)).await;
        assert_eq!(chunks, i64::try_from(size.div_ceil(CHUNK_BYTES).max(1)).expect("few"), "chunks of {size} bytes");
        assert!(store.item_content(OwnerId(2), item.id).await.expect("an answer").is_none(), "it is another user's");
        store.delete_item(item.owner, item.id).await.expect("it is deleted");
        assert!(store.item_content(item.owner, item.id).await.expect("an answer").is_none(), "it is deleted");
    }
    assert_eq!(database.number("SELECT count(*) FROM item_chunk").await, 0);
}

fn output(size: usize, seed: usize) -> NewItem {
    let content: Vec<u8> =
        (0..size).map(|at| u8::try_from((at * seed + at / CHUNK_BYTES) % 251).unwrap_or(0)).collect();
    NewItem {
        id: Uuid::now_v7(),
        owner: OwnerId::LOCAL,
        content_type: "application/octet-stream".into(),
        sha256: [7; 32],
        task: None,
        content: content.into(),
    }
}
