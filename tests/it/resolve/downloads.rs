//! Cases of downloading.

use std::fs;

use frostmirror::fetch::crate_downloader::{Error, FileOrigin};

use super::resolver_fixture::{ResolverFixture, failure_message};
use crate::support::crates::Crate;
use crate::support::upstream::{Fault, Upstream};

#[test]
fn cached_crates_are_not_downloaded_and_corrupt_ones_are() {
    let upstream = Upstream::start();
    let a = upstream.publish(Crate::new("A_b", "1.0.0+x"));
    let b = upstream.publish(Crate::new("b", "1.0.0"));
    let fixture = ResolverFixture::new(&upstream);
    let wanted = [("A_b", "1.0.0+x", a.cksum.as_str()), ("b", "1.0.0", b.cksum.as_str())];
    let first = fixture.download(&wanted).unwrap();
    assert_eq!(fixture.events.announced_and_done(), (2, 2));
    for (file, packed) in first.values().zip([&a, &b]) {
        assert_eq!(file.origin, FileOrigin::Upstream);
        assert_eq!(fs::read(&file.path).unwrap(), packed.bytes);
        assert_eq!(file.size, packed.bytes.len() as u64);
    }
    upstream.clear_log();
    let rotten = first.values().next().unwrap();
    fs::write(&rotten.path, b"rot").unwrap();
    let second = fixture.download(&wanted).unwrap();
    assert_eq!(upstream.downloads(), [upstream.download_path("A_b", "1.0.0+x")]);
    let from: Vec<FileOrigin> = second.values().map(|file| file.origin).collect();
    assert_eq!(from, [FileOrigin::Upstream, FileOrigin::Cache]);
    assert_eq!(fs::read(&rotten.path).unwrap(), a.bytes);
    assert_eq!(partial_files(&fixture), 0);
}

#[test]
fn cargos_cache_is_used_when_the_digest_matches_and_never_changed() {
    let upstream = Upstream::start();
    let good = upstream.publish(Crate::new("good", "1.0.0"));
    let bad = upstream.publish(Crate::new("bad", "1.0.0"));
    let mut fixture = ResolverFixture::new(&upstream);
    let home = fixture.path("cargo");
    fixture.cargo_home = Some(home.clone());
    for (registry, bytes) in [("corp-0001", b"of another registry".to_vec()), ("upstream-0002", good.bytes.clone())] {
        let folder = home.join("registry/cache").join(registry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("good-1.0.0.crate"), bytes).unwrap();
        fs::write(folder.join("bad-1.0.0.crate"), b"damaged").unwrap();
    }
    let wanted = [("good", "1.0.0", good.cksum.as_str()), ("bad", "1.0.0", bad.cksum.as_str())];
    let found = fixture.download(&wanted).unwrap();
    let from: Vec<FileOrigin> = found.values().map(|file| file.origin).collect();
    assert_eq!(from, [FileOrigin::Upstream, FileOrigin::CargoCache]);
    assert_eq!(upstream.downloads(), [upstream.download_path("bad", "1.0.0")]);
    assert_eq!(fs::read(home.join("registry/cache/corp-0001/bad-1.0.0.crate")).unwrap(), b"damaged");
}

#[test]
fn all_failed_downloads_are_reported_together() {
    let upstream = Upstream::start();
    let packed: Vec<_> =
        ["gone", "lost", "fine", "evil"].map(|name| upstream.publish(Crate::new(name, "1.0.0"))).into();
    upstream.remove_crate_file("gone", "1.0.0");
    upstream.remove_crate_file("lost", "1.0.0");
    let fixture = ResolverFixture::new(&upstream);
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let absent = failure_message((*fixture.download(&wanted).expect_err("two are gone")).into());
    assert!(absent.starts_with("5: ") && absent.contains("/gone/") && absent.contains("/lost/"), "{absent}");
    assert!(!absent.contains("/fine/"), "{absent}");

    upstream.fault_always(&upstream.download_path("evil", "1.0.0"), Fault::WrongBytes);
    fs::remove_dir_all(fixture.path("cache")).unwrap();
    let altered = failure_message((*fixture.download(&wanted).expect_err("one is altered")).into());
    assert!(altered.starts_with("4: ") && altered.contains("/evil/") && altered.contains("/lost/"), "{altered}");
    assert!(altered.contains(&packed[3].cksum), "{altered}");
}

#[test]
fn after_an_interruption_only_missing_crates_are_downloaded() {
    let upstream = Upstream::start();
    let packed: Vec<_> = (0..12).map(|n| upstream.publish(Crate::new(&format!("c{n}"), "1.0.0"))).collect();
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let fixture = ResolverFixture::new(&upstream);
    let broken = upstream.download_path("c7", "1.0.0");
    upstream.fault_always(&broken, Fault::Reset);
    let error = fixture.download(&wanted).expect_err("the network is gone");
    assert!(matches!(*error, Error::Network { ref id, .. } if id.name.as_str() == "c7"), "{error}");
    assert_eq!(partial_files(&fixture), 0, "partial files are gone");
    let stored: usize = fs::read_dir(fixture.path("cache/crates"))
        .unwrap()
        .map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count())
        .sum();
    upstream.clear_faults();
    upstream.clear_log();
    assert_eq!(fixture.download(&wanted).unwrap().len(), 12);
    assert_eq!(upstream.downloads().len(), 12 - stored);
    assert!(upstream.downloads().contains(&broken));
}

#[test]
fn offline_all_missing_crates_are_reported() {
    let upstream = Upstream::start();
    let packed: Vec<_> = ["a", "b", "c"].map(|name| upstream.publish(Crate::new(name, "1.0.0"))).into();
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let mut fixture = ResolverFixture::new(&upstream);
    fixture.download(&wanted[..1]).unwrap();
    upstream.clear_log();
    fixture.offline = true;
    assert_eq!(fixture.download(&wanted[..1]).unwrap().len(), 1);
    let message = failure_message((*fixture.download(&wanted).expect_err("two are missing")).into());
    assert!(message.starts_with("5: ") && message.contains("b 1.0.0\n  c 1.0.0"), "{message}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn dl_markers_and_a_custom_dl_are_respected() {
    let upstream = Upstream::builder().dl("{base}/files/{lowerprefix}/{crate}-{version}.crate").start();
    let packed = upstream.publish(Crate::new("Foo-Bar", "1.0.0+x"));
    let wanted = [("Foo-Bar", "1.0.0+x", packed.cksum.as_str())];
    let fixture = ResolverFixture::new(&upstream);
    fixture.download(&wanted).unwrap();
    assert_eq!(upstream.downloads().len(), 1);

    upstream.put_file("/elsewhere/Foo-Bar/1.0.0+x/download", packed.bytes.clone());
    let other = ResolverFixture::new(&upstream).dl(&format!("{}/elsewhere/", upstream.base_url()));
    other.download(&wanted).unwrap();
    assert_eq!(upstream.request_count("/elsewhere/Foo-Bar/1.0.0+x/download"), 1);
}

/// What is in the folders for unfinished files; their lock stays.
fn partial_files(fixture: &ResolverFixture) -> usize {
    fs::read_dir(fixture.path("cache/tmp"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name() != "lock")
        .count()
}
