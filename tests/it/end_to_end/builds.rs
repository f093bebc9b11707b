//! The judge is the real cargo: an empty home, nothing but our mirror, and it builds.

use super::fixture_registry::FixtureRegistry;
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};

const MAIN: &str = "fn main() { println!(\"{} {} {}\", engine::VERSION, engine::seven(), engine::TEETH); }\n";

/// What `setup` with these words prints for cargo's config.toml.
fn client_with_setup(sandbox: &Sandbox, args: &[&str]) -> Client {
    let client = Client::new();
    sandbox.process(["setup", "--write"].iter().chain(args)).envs([("CARGO_HOME", client.cargo_home())]).run().ok();
    client
}

fn serve_with_client(sandbox: &Sandbox) -> (RunningServer, Client) {
    let serving = sandbox.serve::<&str>([]);
    let client = client_with_setup(sandbox, &["--url", serving.url()]);
    (serving, client)
}

fn import(sandbox: &Sandbox, args: &[&str]) {
    let bundle = sandbox.run(["fetch"].iter().chain(args)).ok().path();
    sandbox.run(["import".as_ref(), bundle.as_os_str()]).ok();
}

#[test]
fn a_locked_project_builds_from_the_server_and_from_disk() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let project = Project::new("app").dep("engine", "1").main(MAIN);
    let lock = world.lockfile_of(&project);
    // As a real project lies there: in a folder with no depends.toml, fetched from a member's folder.
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    let bundle = sandbox.run_in(&app.join("src"), ["fetch", "-o", "../../output"]).ok();
    assert!(bundle.stderr.contains("Cargo.lock"), "says where the set comes from\n{}", bundle.describe());
    let bundle = sandbox.path("app/src").join(bundle.path());
    sandbox.run(["import".as_ref(), bundle.as_os_str()]).ok();
    // Upstream publishes on; the far side does not notice.
    drop(world);

    let (serving, client) = serve_with_client(&sandbox);
    let run = client.cargo(&app, ["run", "--locked", "--quiet"]).ok();
    assert_eq!(run.line(), "1.2.0 7 42");
    assert_eq!(sandbox.read("app/Cargo.lock"), lock);
    serving.stop().ok();

    std::fs::remove_dir_all(app.join("target")).unwrap();
    let client = client_with_setup(&sandbox, &["--local"]);
    let run = client.cargo(&app, ["run", "--locked", "--quiet"]).ok();
    assert_eq!(run.line(), "1.2.0 7 42");
    assert_eq!(sandbox.read("app/Cargo.lock"), lock);
}

#[test]
fn both_sides_of_a_version_conflict_are_mirrored_and_build() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    // Two that cannot stand in one lock: as elements of an array, and as groups.
    sandbox.write(
        "depends.toml",
        "[dependencies]\nnative = [\"1\", \"=2.0.0\"]\n[dependencies.4]\nnative = \"2\"\n[dependencies.5]\ngears = \"=1.0.0\"\n",
    );
    import(&sandbox, &[]);
    let (_serving, client) = serve_with_client(&sandbox);
    for (number, (name, req, version)) in
        [("native", "1", "1.0.0"), ("native", "=2.0.0", "2.0.0"), ("native", "2", "2.0.1"), ("gears", "1", "1.0.0")]
            .into_iter()
            .enumerate()
    {
        let source = format!("fn main() {{ println!(\"{{}}\", {name}::VERSION); }}");
        let app = Project::new("app").dep(name, req).main(&source).write(&sandbox.path(format!("app-{number}")));
        let run = client.cargo(&app, ["run", "--quiet"]).ok();
        assert_eq!(run.line(), version, "{name} {req}");
    }
}

#[test]
fn cargo_add_and_update_see_only_mirrored_crates() {
    let mut world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nengine = [\"=1.0.0\"]\n");
    import(&sandbox, &[]);
    let (_serving, client) = serve_with_client(&sandbox);
    let app = Project::new("app").write(&sandbox.path("app"));
    client.cargo(&app, ["add", "engine"]).ok();
    client.cargo(&app, ["add", "gears"]).ok();
    client.cargo(&app, ["add", "turbo"]).exits(101);
    client.cargo(&app, ["update"]).ok();
    let lock = sandbox.read("app/Cargo.lock");
    assert!(lock.contains("name = \"engine\"\nversion = \"1.0.0\""), "{lock}");
    // Next week's bundle: the server has it at once, and `cargo update` finds it.
    world.publish(Crate::new("gears", "1.4.0").lib("pub const TEETH: &str = \"none\";\n"));
    sandbox.write("depends.toml", "[dependencies]\nengine = \"1\"\n");
    import(&sandbox, &[]);
    client.cargo(&app, ["update"]).ok();
    let lock = sandbox.read("app/Cargo.lock");
    for (name, version) in [("engine", "1.2.0"), ("gears", "1.4.0")] {
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{lock}");
    }
    client.cargo(&app, ["build", "--locked"]).ok();
}

#[test]
fn a_tool_installs_with_and_without_its_lock() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    import(&sandbox, &["--crate", "tool@2"]);
    let (_serving, client) = serve_with_client(&sandbox);
    let here = sandbox.path("");
    for (args, gears) in [(vec!["--locked"], "gears 1.0.0\n"), (vec![], "gears 1.0.1\n")] {
        let root = sandbox.path(format!("root-{}", args.len()));
        let args = ["install", "--root", root.to_str().unwrap(), "tool"].into_iter().chain(args.iter().copied());
        client.cargo(&here, args).ok();
        let output = std::process::Command::new(root.join("bin/tool")).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), gears);
    }
}

#[test]
fn crate_names_are_found_in_every_spelling() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nMixed_Case = \"1\"\nderive-seven = \"0.2\"\nplus = \"1\"\n");
    import(&sandbox, &[]);
    let (_serving, client) = serve_with_client(&sandbox);
    let app = Project::new("app").write(&sandbox.path("app"));
    for (written, meant) in [("mixed-case", "Mixed_Case"), ("derive_seven", "derive-seven"), ("plus", "plus")] {
        client.cargo(&app, ["add", written]).ok();
        assert!(sandbox.read("app/Cargo.toml").contains(&format!("{meant} = \"")), "{written}");
    }
    client.cargo(&app, ["build"]).ok();
}
