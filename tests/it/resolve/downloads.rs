//! Cases of downloading.

use std::fs;

use frostmirror::gather::download::{Error, Source};

use super::workshop::{Workshop, told};
use crate::support::crates::Crate;
use crate::support::upstream::{Fault, Upstream};

#[test]
fn what_is_in_a_cache_is_not_downloaded_and_what_rotted_is() {
    let upstream = Upstream::start();
    let a = upstream.publish(Crate::new("A_b", "1.0.0+x"));
    let b = upstream.publish(Crate::new("b", "1.0.0"));
    let shop = Workshop::new(&upstream);
    let wanted = [("A_b", "1.0.0+x", a.cksum.as_str()), ("b", "1.0.0", b.cksum.as_str())];
    let first = shop.download(&wanted).unwrap();
    assert_eq!(shop.events.items(), (2, 2));
    for (file, packed) in first.values().zip([&a, &b]) {
        assert_eq!(file.from, Source::Upstream);
        assert_eq!(fs::read(&file.path).unwrap(), packed.bytes);
        assert_eq!(file.size, packed.bytes.len() as u64);
    }
    upstream.clear_log();
    let rotten = first.values().next().unwrap();
    fs::write(&rotten.path, b"rot").unwrap();
    let second = shop.download(&wanted).unwrap();
    assert_eq!(upstream.downloads(), [upstream.download_path("A_b", "1.0.0+x")]);
    let from: Vec<Source> = second.values().map(|file| file.from).collect();
    assert_eq!(from, [Source::Upstream, Source::Cache]);
    assert_eq!(fs::read(&rotten.path).unwrap(), a.bytes);
    assert_eq!(partial_files(&shop), 0);
}

#[test]
fn cargos_own_cache_is_used_where_the_digest_matches_and_never_changed() {
    let upstream = Upstream::start();
    let good = upstream.publish(Crate::new("good", "1.0.0"));
    let bad = upstream.publish(Crate::new("bad", "1.0.0"));
    let mut shop = Workshop::new(&upstream);
    let home = shop.path("cargo");
    shop.cargo_home = Some(home.clone());
    for (registry, bytes) in [("corp-0001", b"of another registry".to_vec()), ("upstream-0002", good.bytes.clone())] {
        let folder = home.join("registry/cache").join(registry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("good-1.0.0.crate"), bytes).unwrap();
        fs::write(folder.join("bad-1.0.0.crate"), b"damaged").unwrap();
    }
    let wanted = [("good", "1.0.0", good.cksum.as_str()), ("bad", "1.0.0", bad.cksum.as_str())];
    let found = shop.download(&wanted).unwrap();
    let from: Vec<Source> = found.values().map(|file| file.from).collect();
    assert_eq!(from, [Source::Upstream, Source::Cargo]);
    assert_eq!(upstream.downloads(), [upstream.download_path("bad", "1.0.0")]);
    assert_eq!(fs::read(home.join("registry/cache/corp-0001/bad-1.0.0.crate")).unwrap(), b"damaged");
}

#[test]
fn all_that_upstream_refuses_is_named_at_once() {
    let upstream = Upstream::start();
    let packed: Vec<_> =
        ["gone", "lost", "fine", "evil"].map(|name| upstream.publish(Crate::new(name, "1.0.0"))).into();
    upstream.lose_file("gone", "1.0.0");
    upstream.lose_file("lost", "1.0.0");
    let shop = Workshop::new(&upstream);
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let absent = told((*shop.download(&wanted).expect_err("two are gone")).into());
    assert!(absent.starts_with("5: ") && absent.contains("/gone/") && absent.contains("/lost/"), "{absent}");
    assert!(!absent.contains("/fine/"), "{absent}");

    upstream.always(&upstream.download_path("evil", "1.0.0"), Fault::WrongBytes);
    fs::remove_dir_all(shop.path("cache")).unwrap();
    let altered = told((*shop.download(&wanted).expect_err("one is altered")).into());
    assert!(altered.starts_with("4: ") && altered.contains("/evil/") && altered.contains("/lost/"), "{altered}");
    assert!(altered.contains(&packed[3].cksum), "{altered}");
}

#[test]
fn an_interrupted_run_costs_only_what_it_lacked() {
    let upstream = Upstream::start();
    let packed: Vec<_> = (0..12).map(|n| upstream.publish(Crate::new(&format!("c{n}"), "1.0.0"))).collect();
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let shop = Workshop::new(&upstream);
    let broken = upstream.download_path("c7", "1.0.0");
    upstream.always(&broken, Fault::Reset);
    let error = shop.download(&wanted).expect_err("the network is gone");
    assert!(matches!(*error, Error::Network { ref id, .. } if id.name.as_str() == "c7"), "{error}");
    assert_eq!(partial_files(&shop), 0, "partial files are gone");
    let held: usize = fs::read_dir(shop.path("cache/crates"))
        .unwrap()
        .map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count())
        .sum();
    upstream.heal();
    upstream.clear_log();
    assert_eq!(shop.download(&wanted).unwrap().len(), 12);
    assert_eq!(upstream.downloads().len(), 12 - held);
    assert!(upstream.downloads().contains(&broken));
}

#[test]
fn without_network_everything_that_is_missing_is_named() {
    let upstream = Upstream::start();
    let packed: Vec<_> = ["a", "b", "c"].map(|name| upstream.publish(Crate::new(name, "1.0.0"))).into();
    let wanted: Vec<_> = packed.iter().map(|one| (one.name.as_str(), "1.0.0", one.cksum.as_str())).collect();
    let mut shop = Workshop::new(&upstream);
    shop.download(&wanted[..1]).unwrap();
    upstream.clear_log();
    shop.offline = true;
    assert_eq!(shop.download(&wanted[..1]).unwrap().len(), 1);
    let told = told((*shop.download(&wanted).expect_err("two are missing")).into());
    assert!(told.starts_with("5: ") && told.contains("b 1.0.0\n  c 1.0.0"), "{told}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn the_markers_of_dl_and_the_users_own_dl_are_followed() {
    let upstream = Upstream::builder().dl("{base}/files/{lowerprefix}/{crate}-{version}.crate").start();
    let packed = upstream.publish(Crate::new("Foo-Bar", "1.0.0+x"));
    let wanted = [("Foo-Bar", "1.0.0+x", packed.cksum.as_str())];
    let shop = Workshop::new(&upstream);
    shop.download(&wanted).unwrap();
    assert_eq!(upstream.downloads().len(), 1);

    upstream.put("/elsewhere/Foo-Bar/1.0.0+x/download", packed.bytes.clone());
    let other = Workshop::new(&upstream).dl(&format!("{}/elsewhere/", upstream.base_url()));
    other.download(&wanted).unwrap();
    assert_eq!(upstream.count("/elsewhere/Foo-Bar/1.0.0+x/download"), 1);
}

/// What is in the folders for unfinished files; their lock stays.
fn partial_files(shop: &Workshop) -> usize {
    fs::read_dir(shop.path("cache/tmp")).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "lock").count()
}
