//! Errors about a folder that was given where a bundle is expected.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::client_setup::shell_argument;
use crate::error_report::{ErrorClass, Failure};
use crate::mirror::layout::Layout;

/// The error of a verb that takes one bundle, for a folder. `argument` is the path as the user gave it.
pub(super) fn folder_is_no_bundle(verb: &str, argument: &Path, folder: &Path) -> Failure {
    let shown = sanitize_line(&argument.to_string_lossy());
    if Layout::new(folder).is_mirror().is_ok_and(|is_mirror| is_mirror) {
        let failure = Failure::new(ErrorClass::Input, format!("`{shown}` is a mirror, not a bundle"));
        let command = match verb {
            "verify" | "list" => format!("cargo frostmirror {verb}"),
            _ => "cargo frostmirror status".to_owned(),
        };
        return failure.hint(format!("run `{command} --mirror {}`", path_argument(argument)));
    }
    let failure = Failure::new(ErrorClass::Input, format!("`{shown}` is a folder, not a bundle"));
    match first_bundle(folder).and_then(|bundle| Some(bundle.file_name()?.to_owned())) {
        Some(name) => {
            failure.hint(format!("give the path of one bundle, such as {}", path_argument(&argument.join(name))))
        }
        None => failure.hint("no bundle (*.pkg) is in that folder; give the path of a bundle"),
    }
}

/// The error of `import` for a folder without bundles; it names a subfolder that has some. `argument` is the path as the
/// user gave it.
pub(super) fn no_bundle_in_folder(argument: &Path, folder: &Path) -> Failure {
    let shown = sanitize_line(&argument.to_string_lossy());
    if Layout::new(folder).is_mirror().is_ok_and(|is_mirror| is_mirror) {
        let message = format!("`{shown}` is a mirror, not a folder with bundles");
        return Failure::new(ErrorClass::Input, message)
            .hint("give the bundles to import; `--mirror` names the mirror that receives them");
    }
    let why = match entries(folder).next() {
        None => format!("the folder `{shown}` is empty"),
        Some(_) => format!("no bundle (*.pkg) is in `{shown}`"),
    };
    let failure = Failure::new(ErrorClass::Input, why);
    let below = entries(folder).filter(|path| path.is_dir()).find(|below| first_bundle(below).is_some());
    match below.as_deref().and_then(Path::file_name) {
        Some(name) => {
            failure.hint(format!("give the folder {}, which has bundles in it", path_argument(&argument.join(name))))
        }
        None => failure.hint("give the path of a bundle, or of a folder with bundles in it"),
    }
}

/// The bundle in a folder whose name sorts first.
fn first_bundle(folder: &Path) -> Option<PathBuf> {
    entries(folder).filter(|path| path.file_name().is_some_and(is_bundle_file_name) && path.is_file()).min()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// A path as an argument of a shell command.
fn path_argument(path: &Path) -> String {
    shell_argument(&sanitize_line(&path.to_string_lossy()))
}
