//! No file needs another that needs it: what a file names lies in a file that can be read without it.
//!
//! A path counts for the file where its item is defined. A name that a module only passes on (`pub use child::Item`)
//! therefore leads to the child, and the module does not need the child for that. Methods have no path and do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{NamedPath, PathKind, defined_items, named_paths};
use super::source::{SourceFile, source_files, tokens, without_tests};

type ModulePath = Vec<String>;

/// How many imports a name may pass through.
const MAX_IMPORTS: usize = 8;

/// The modules of the crate.
#[derive(Default)]
struct Modules {
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    paths: Vec<NamedPath>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Module(ModulePath),
    ItemOf(ModulePath),
}

/// File, the file that it needs, and one place that shows it.
type Needs = BTreeMap<String, BTreeMap<String, (usize, String)>>;

#[test]
fn no_files_need_each_other() {
    let needs = Modules::read(&source_files()).needs();
    assert!(needs.values().map(BTreeMap::len).sum::<usize>() > 1000, "the paths were not resolved");
    let cycles = cycles(&needs);
    assert!(cycles.is_empty(), "{} groups of files need each other:\n{}", cycles.len(), describe(&cycles, &needs));
}

fn describe(cycles: &[BTreeSet<String>], needs: &Needs) -> String {
    let mut text = String::new();
    for (number, files) in cycles.iter().enumerate() {
        text += &format!("{}. {} files\n", number + 1, files.len());
        for file in files {
            for (other, (line, path)) in needs[file].iter().filter(|(other, _)| files.contains(*other)) {
                text += &format!("   src/{file}:{line} needs src/{other}: {path}\n");
            }
        }
    }
    text
}

/// The groups of files that need each other, directly or not: strongly connected components of more than one.
fn cycles(needs: &Needs) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = needs.keys().map(|file| (file, reachable(file, needs))).collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for (file, others) in &reach {
        if !others.contains(file) || groups.iter().any(|group| group.contains(*file)) {
            continue;
        }
        let back = others.iter().filter(|other| reach.get(**other).is_some_and(|reached| reached.contains(file)));
        groups.push(back.map(|other| (*other).clone()).collect());
    }
    groups
}

/// Everything that a file needs, directly or not.
fn reachable<'a>(file: &String, needs: &'a Needs) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = needs.get(file).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(other) = open.pop() {
        if found.insert(other) {
            open.extend(needs.get(other).into_iter().flat_map(BTreeMap::keys));
        }
    }
    found
}

impl Modules {
    fn read(files: &[SourceFile]) -> Self {
        let mut all = Self::default();
        all.add(&[], "lib.rs");
        for SourceFile { name, text } in files {
            if name == "main.rs" || name.ends_with("/tests.rs") || name.contains("/tests/") {
                continue;
            }
            let stem = name.trim_end_matches(".rs");
            let own: ModulePath = if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() };
            let code = without_tests(&tokens(text));
            all.add(&own, name);
            for (inside, item) in defined_items(&code) {
                all.add(&[&own[..], &inside].concat(), name).items.insert(item);
            }
            for path in named_paths(&code) {
                all.add(&[&own[..], &path.inside].concat(), name).paths.push(path);
            }
        }
        all
    }

    fn add(&mut self, path: &[String], file: &str) -> &mut Module {
        let module = self.modules.entry(path.to_vec()).or_default();
        file.clone_into(&mut module.file);
        module
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::new();
        for (place, module) in &self.modules {
            let of_file = needs.entry(module.file.clone()).or_default();
            for path in &module.paths {
                if matches!(path.kind, PathKind::Import { public: true, .. }) {
                    continue;
                }
                if let Some(Target::ItemOf(other)) = self.resolve(place, &path.segments, false, 0)
                    && self.modules[&other].file != module.file
                {
                    let shown = (path.line, path.segments.join("::"));
                    of_file.entry(self.modules[&other].file.clone()).or_insert(shown);
                }
            }
        }
        needs
    }

    /// Follows a path from a module: nothing for a path out of the crate. What a module seems not to have, a macro may
    /// have made there, unless a glob of this module is only `tried`.
    fn resolve(&self, place: &[String], segments: &[String], tried: bool, passed: usize) -> Option<Target> {
        // Globs may lead to each other.
        if passed > MAX_IMPORTS {
            return None;
        }
        let mut module = place.to_vec();
        for (at, segment) in segments.iter().enumerate() {
            match segment.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => {
                    module.pop()?;
                }
                _ => return self.find(&module, &segments[at..], tried || at == 0, passed),
            }
        }
        Some(Target::Module(module))
    }

    /// Follows a path that begins with a name of `module`.
    fn find(&self, module: &[String], segments: &[String], tried: bool, passed: usize) -> Option<Target> {
        let (first, rest) = segments.split_first()?;
        let known = self.modules.get(module)?;
        let child = [module, &segments[..1]].concat();
        let is_module = self.modules.contains_key(&child);
        if is_module && !rest.is_empty() {
            return self.find(&child, rest, tried && passed > 0, passed);
        }
        if known.items.contains(first) {
            return Some(Target::ItemOf(module.to_vec()));
        }
        if is_module {
            return Some(Target::Module(child));
        }
        let imports = || known.paths.iter().filter_map(|path| Some((path, path.imported_name()?)));
        if let Some((path, _)) = imports().find(|(_, name)| name == first) {
            return self.resolve(module, &[&path.segments, rest].concat(), tried, passed + 1);
        }
        let globs = imports().filter(|(_, name)| *name == "*");
        let found = globs.map(|(path, _)| self.resolve(module, &[&path.segments, segments].concat(), true, passed + 1));
        found.flatten().next().or_else(|| (!tried).then(|| Target::ItemOf(module.to_vec())))
    }
}

#[test]
fn files_that_need_each_other_are_found() {
    let found = |files: &[(&str, &str)]| {
        let file = |(name, text): &(&str, &str)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() };
        let needs = Modules::read(&files.iter().map(file).collect::<Vec<_>>()).needs();
        cycles(&needs).into_iter().map(|group| group.into_iter().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    // A parent calls its child, and the child names the parent's item.
    let parent = "mod b; pub struct Item; fn f() { b::run() }";
    assert_eq!(found(&[("a.rs", parent), ("a/b.rs", "use super::Item; pub fn run() {}")]), ["a.rs a/b.rs"]);
    assert_eq!(found(&[("a.rs", parent), ("a/b.rs", "pub fn run(item: &crate::a::Item) {}")]), ["a.rs a/b.rs"]);
    assert_eq!(found(&[("a.rs", parent), ("a/b.rs", "use super::*; pub fn run(item: &Item) {}")]), ["a.rs a/b.rs"]);
    assert_eq!(
        found(&[("a.rs", parent), ("a/b.rs", "pub fn run() {} #[cfg(test)] mod tests { use super::super::Item; }")]),
        [""; 0]
    );
    // What the parent only passes on is its child's.
    let facade = "mod b; mod c; pub use b::Item; pub use c::run;";
    let through_facade =
        [("a.rs", facade), ("a/b.rs", "pub struct Item;"), ("a/c.rs", "use super::Item; pub fn run() {}")];
    assert_eq!(found(&through_facade), [""; 0]);
    let around = [("a.rs", facade), ("a/b.rs", "pub struct Item; fn f() { super::run() }"), through_facade[2]];
    assert_eq!(found(&around), ["a/b.rs a/c.rs"]);
    // Three in a circle, by module names, other names and globs.
    let three = [
        ("lib.rs", "pub mod a; pub mod b; pub mod c;"),
        ("a.rs", "use crate::{event, b as other}; pub struct A; fn f() { other::inner::run(1) }"),
        ("b.rs", "pub mod inner { use crate::c::*; pub fn run(x: u8) -> C { x } }"),
        ("c.rs", "use std::fs; pub struct C { x: super::a::A }"),
    ];
    assert_eq!(found(&three), ["a.rs b.rs c.rs"]);
    assert_eq!(found(&three[..3]), [""; 0]);
}
