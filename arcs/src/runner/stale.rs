//! What a killed attempt left on local disk. Its files were staged as `NAME#1` beside their names and never renamed;
//! manifests do not know them, but readers of whole folders would stumble. The lot's own are removed before the next
//! attempt stages; on other stores nothing of the kind can be seen.

use std::path::{Path, PathBuf};

use manifests::{ArcSpec, Lot};

/// Folders below a sink that are looked into.
const DEPTH_MAX: usize = 8;

/// Staged files that are looked for beside one name: one a killed attempt.
const STAGED_PER_NAME_MAX: usize = 4;

/// Removes staged files of a lot below every sink on local disk. A folder that cannot be read is passed over: nothing
/// depends on this.
pub(super) async fn remove(arc: &ArcSpec, lot: Lot) {
    let folders: Vec<_> = arc.sinks.iter().filter_map(|sink| sink.dataset.path_uri.strip_prefix("file://")).map(PathBuf::from).collect();
    if folders.is_empty() {
        return;
    }
    let _ = tokio::task::spawn_blocking(move || remove_below(folders, lot)).await;
}

fn remove_below(folders: Vec<PathBuf>, lot: Lot) {
    let mut folders: Vec<(PathBuf, usize)> = folders.into_iter().map(|folder| (folder, 0)).collect();
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => folders.push((entry.path(), depth + 1)),
                Ok(kind) if kind.is_file() && is_staged(&entry.path(), lot) => drop(std::fs::remove_file(entry.path())),
                _ => {}
            }
        }
    }
}

/// Removes what was staged beside files of these URIs on local disk.
pub(crate) async fn remove_beside(uris: Vec<String>) {
    if !uris.iter().any(|uri| uri.starts_with("file://")) {
        return;
    }
    let remove = move || {
        for path in uris.iter().filter_map(|uri| uri.strip_prefix("file://")) {
            (1..=STAGED_PER_NAME_MAX).for_each(|number| drop(std::fs::remove_file(format!("{path}#{number}"))));
        }
    };
    let _ = tokio::task::spawn_blocking(remove).await;
}

/// Whether a file is `{lot}-….parquet#{number}`.
fn is_staged(path: &Path, lot: Lot) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((name, number)) = name.rsplit_once('#') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && name.starts_with(&format!("{lot}-")) && name.ends_with(".parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_staged_files_of_the_lot_go() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("dt=2023-07-17");
        std::fs::create_dir_all(&day).unwrap();
        let names = [
            "20230717PT5M250-00000.parquet#1",
            "20230717PT5M250-00001.parquet#12",
            "20230717PT5M250-00000.parquet",
            "20230717PT5M250-00000.parquet#x",
            "20230717PT5M251-00000.parquet#1",
            "mine#1",
        ];
        names.iter().for_each(|name| std::fs::write(day.join(name), "x").unwrap());
        remove_below(vec![folder.path().to_owned(), "/nowhere".into()], "20230717PT5M250".parse().unwrap());
        let mut left: Vec<_> = std::fs::read_dir(&day).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut expected = names[2..].to_vec();
        expected.sort();
        assert_eq!(left, expected);
    }
}
