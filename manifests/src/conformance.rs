//! What every store must do, through the calls that this project makes of one. It runs on memory, on disk and, in the tests
//! of the whole, on servers of S3 with faults on the way.

use object_store::ObjectStoreExt;

use crate::store::Root;

/// What every store must do. Panics where it does not.
pub async fn store(root: &Root) {
    assert_eq!(root.get("a/missing").await.unwrap(), None);
    assert!(root.list("a").await.unwrap().is_empty());
    assert!(root.create("a/one", "1").await.unwrap());
    assert!(!root.create("a/one", "2").await.unwrap(), "create never replaces");
    assert_eq!(root.get("a/one").await.unwrap().unwrap(), "1");
    root.put("a/one", "3").await.unwrap();
    assert_eq!(root.get("a/one").await.unwrap().unwrap(), "3");
    root.put("a/two/x y%41#", "4").await.unwrap();
    root.put("ab", "5").await.unwrap();
    let listed: Vec<_> = root.list("a").await.unwrap();
    assert_eq!(listed.len(), 2, "only below the folder: {listed:?}");
    assert_eq!(root.get(listed[1].as_ref()).await.unwrap().unwrap(), "4", "a listed path reads back");
    assert_eq!(root.list_after("a", "a/one").await.unwrap(), listed[1..].to_vec());
    assert_eq!(root.list_between("a", "a/o", "a/one").await.unwrap(), [], "without what it ends with");
    assert_eq!(root.list_between("a", "a/o", "a/two").await.unwrap(), listed[..1].to_vec());
    assert_eq!(root.list_between("a", "a/one", "a/two0").await.unwrap(), listed[1..].to_vec());
    assert_eq!(root.list_first("a", 1).await.unwrap()[0], listed[0]);
    race(root).await;
    staged(root).await;
    root.delete("a/one").await.unwrap();
    root.delete("a/one").await.unwrap();
    assert_eq!(root.list("a").await.unwrap().len(), 1);
}

async fn race(root: &Root) {
    let tries = (0..16).map(|writer| root.create("race/commit", format!("{writer}")));
    let won: Vec<bool> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "one winner");
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(root.get("race/commit").await.unwrap().unwrap(), winner.to_string());
}

async fn staged(root: &Root) {
    let path = root.path("staged/part");
    let mut upload = root.store().put_multipart(&path).await.unwrap();
    // S3 wants 5 MiB of every part but the last.
    let half = vec![b'h'; 5 << 20];
    upload.put_part(half.clone().into()).await.unwrap();
    assert!(root.list("staged").await.unwrap().is_empty(), "nothing readable before completion");
    upload.put_part(" whole".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert!(root.get("staged/part").await.unwrap().unwrap() == [half.as_slice(), b" whole"].concat());
}
