//! The graph of imports: no two files import each other, by whatever way around. What depends on what can then be read from the
//! top of each file, and a part be taken out with all that is below it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a crate by the paths of their modules; the root is "".
fn modules(source: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inner = path.strip_prefix(source).unwrap().with_extension("");
            let parts: Vec<&str> = inner.iter().map(|part| part.to_str().unwrap()).collect();
            let name = parts.join("::");
            let name = name.strip_suffix("::mod").unwrap_or(&name);
            if path.extension().is_some_and(|extension| extension == "rs") {
                let is_root = ["lib", "main"].contains(&name);
                found.insert(if is_root { String::new() } else { name.to_owned() }, path);
            }
        }
    }
    found
}

/// The paths that a tree of imports such as `a::{b, c::{d, e}}` stands for.
fn expand(prefix: &str, tree: &str, all: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        all.push(format!("{prefix}{tree}"));
        return;
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner.get(start..at).unwrap_or_default();
                if !part.is_empty() {
                    expand(&format!("{prefix}{head}"), part, all);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// What a module imports of its own crate, its tests aside.
fn imports(module: &str, text: &str, known: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let text = text.split("#[cfg(test)]\n#[allow").next().unwrap();
    let mut paths = Vec::new();
    for statement in text.split(';') {
        let Some((_, tree)) = statement.rsplit_once("use ") else { continue };
        let tree: String = tree.chars().filter(|letter| !letter.is_whitespace()).collect();
        expand("", &tree, &mut paths);
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let mut parts: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
        let mut rest = path.as_str();
        if let Some(inner) = rest.strip_prefix("crate::") {
            (parts, rest) = (Vec::new(), inner);
        } else if rest.starts_with("super::") {
            while let Some(inner) = rest.strip_prefix("super::") {
                parts.pop();
                rest = inner;
            }
        } else if let Some(inner) = rest.strip_prefix("self::") {
            rest = inner;
        } else {
            continue;
        }
        parts.extend(rest.split("::"));
        while !known.contains_key(&parts.join("::")) {
            parts.pop();
        }
        let target = parts.join("::");
        if !target.is_empty() && target != module {
            found.insert(target);
        }
    }
    found
}

/// A way from a module back to itself.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|other| other == at) {
            return Some(way.split_off(start));
        }
        if done.contains(at) {
            return None;
        }
        way.push(at.to_owned());
        for next in graph.get(at).into_iter().flatten() {
            if let Some(found) = visit(next, graph, way, done) {
                return Some(found);
            }
        }
        way.pop();
        done.insert(at.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| visit(module, graph, &mut Vec::new(), &mut done))
}

fn graph(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let known = modules(source);
    let read = |(module, path): (&String, &PathBuf)| {
        let text = fs::read_to_string(path).unwrap();
        (module.clone(), imports(module, &text, &known))
    };
    known.iter().map(read).collect()
}

#[test]
fn no_two_files_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut imports = 0;
    for folder in crates.chain([root.join("bench"), root.join("lab")]) {
        let graph = graph(&folder.join("src"));
        imports += graph.values().map(BTreeSet::len).sum::<usize>();
        if let Some(circle) = circle(&graph) {
            panic!("{}: {} -> and so on", folder.display(), circle.join(" -> "));
        }
    }
    assert!(imports > 300, "only {imports} imports were read");
}

#[test]
fn a_circle_is_found() {
    let known: BTreeMap<String, PathBuf> =
        ["", "a", "a::b", "c"].map(|name| (name.to_owned(), PathBuf::new())).into();
    let text = "use std::{fs, io};\nuse crate::{a::{b::X, Y},\n c};\npub use super::c::Z;\n#[cfg(test)]\nmod tests { use crate::d; }";
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();

    assert_eq!(imports("a::b", text, &known), of(&["a", "c"]));

    let edges = |target: &str| of(&["a", "c", target]);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    graph.insert("a".into(), of(&["b"]));
    graph.insert("b".into(), of(&["c"]));
    assert_eq!(circle(&graph), None);
    graph.insert("c".into(), edges("a"));
    assert!(circle(&graph).is_some());
}

/// rustls over ring is what encrypts connections, aws-lc what encrypts media: a third that a dependency brings along has to be
/// a decision.
#[test]
fn no_other_library_for_tls_comes_in_with_a_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let locked = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let names: Vec<&str> = locked.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    assert!(names.contains(&"\"rustls\"") && names.contains(&"\"ring\""));
    let known = ["openssl", "native-tls", "boring", "mbedtls", "gnutls", "s2n-tls", "wolfssl", "nss"];
    let found: Vec<&&str> = names
        .iter()
        .filter(|name| known.iter().any(|other| name.trim_matches('"').starts_with(other)))
        .collect();
    // What finds a system's certificates, and links none of its libraries.
    let found: Vec<&&&str> = found.iter().filter(|name| ***name != "\"openssl-probe\"").collect();
    assert!(found.is_empty(), "{found:?}");
}
