//! The README's map names every folder, and nothing that is not there.
//!
//! The map is the first code block whose lines begin with a name and two spaces. A folder's
//! line begins with `NAME/` (several may share a line). A line that says `(planned)` names
//! folders that do not exist yet.

/// Compares the map in `readme` with the `folders` at the root.
pub fn check(readme: &str, folders: &[String], problems: &mut Vec<String>) {
    let entries = entries(readme);
    if entries.is_empty() {
        problems.push("README.md: there is no map of the folders in a code block".to_owned());
        return;
    }
    for folder in folders {
        match entries.iter().find(|entry| entry.folder == *folder) {
            None => problems.push(format!("README.md: folder {folder} is not on the map")),
            Some(entry) if entry.planned => problems.push(format!(
                "README.md: folder {folder} exists, the map calls it planned"
            )),
            Some(_) => {}
        }
    }
    for entry in entries.iter().filter(|entry| !entry.planned) {
        if !folders.contains(&entry.folder) {
            problems.push(format!(
                "README.md: {} is on the map, but is no folder",
                entry.folder
            ));
        }
    }
}

struct Entry {
    folder: String,
    planned: bool,
}

fn entries(readme: &str) -> Vec<Entry> {
    let mut inside = false;
    let mut entries = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            if inside && !entries.is_empty() {
                break;
            }
            inside = !inside;
        } else if inside && !line.starts_with(' ') {
            let planned = line.contains("(planned)");
            for word in line.split_whitespace() {
                let Some(name) = word.strip_suffix('/') else {
                    break;
                };
                let folder = name.split('/').next().unwrap_or(name).to_owned();
                entries.push(Entry { folder, planned });
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "x\n```sh\n./nekton run\n```\n```\nCargo.toml  the workspace\nabi/   contract\n       more/ words\nkernel-x86/ kernel-arm/  images\nplugin/  counts (planned)\n```\n";

    fn problems(folders: &[&str]) -> Vec<String> {
        let folders: Vec<String> = folders.iter().map(|f| (*f).to_owned()).collect();
        let mut problems = Vec::new();
        check(README, &folders, &mut problems);
        problems
    }

    #[test]
    fn map_and_folders_agree() {
        assert_eq!(problems(&["abi", "kernel-arm", "kernel-x86"]), [""; 0]);
    }

    #[test]
    fn every_difference_is_told() {
        assert_eq!(problems(&["abi", "kernel-x86"]).len(), 1);
        assert_eq!(
            problems(&["abi", "kernel-arm", "kernel-x86", "rt"]).len(),
            1
        );
        assert_eq!(
            problems(&["abi", "kernel-arm", "kernel-x86", "plugin"]).len(),
            1
        );
        let mut without = Vec::new();
        check("# no map", &[], &mut without);
        assert_eq!(without.len(), 1);
    }
}
