//! Decides which hosts may be reached if upstream chooses them, by a redirect or by the `dl` of its config.json.
//!
//! A hostile or broken upstream must not use this program to reach services that only this machine or its network can
//! reach (SSRF). So a non-public address is reached in two cases: the user configured that host, or a configured host
//! is in a network of the same class. A registry at 10.0.0.5 may redirect to 10.0.0.6; crates.io may not.
//!
//! The check applies to the connected address. Names are resolved here, once, and the connection uses the checked
//! address, so DNS rebinding between check and use has no effect. For the same reason, a configured host that was
//! public must stay so as long as the client exists. If a proxy resolves the names, only literal addresses and names of
//! this machine in the URL can be checked.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address_class::{AddressClass, BlockedHost};
use super::redirects::origin;
use super::settings::Settings;

/// Timeout to resolve a configured host before another host is refused.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Resolves a name to addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Who chose the origin of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTrust {
    /// The user: scheme, host and port are those of a configured URL.
    Configured,
    /// Upstream chose the host, and it is reachable over the internet.
    Public,
    /// Upstream chose the host; it is in an internal network, or was reached through a proxy.
    Internal,
}

/// The hosts that may be reached. Cheap to clone.
#[derive(Clone)]
pub(super) struct HostPolicy(Arc<Inner>);

struct Inner {
    /// Whether hosts that are not configured are checked.
    is_restricted: bool,
    origins: Vec<String>,
    hosts: HashMap<String, ConfiguredHost>,
    /// Hosts of proxies.
    proxies: Vec<String>,
    proxied: ProxiedSchemes,
    lookup: Lookup,
}

/// The schemes with a proxy.
struct ProxiedSchemes {
    http: bool,
    https: bool,
}

/// A configured host, and the classes of its addresses.
#[derive(Default)]
struct ConfiguredHost {
    classes: OnceLock<Vec<AddressClass>>,
}

impl HostPolicy {
    /// The policy by `settings`.
    pub(super) fn new(settings: &Settings, lookup: Lookup) -> HostPolicy {
        let configured: Vec<Url> = settings.configured_urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
        let hosts = configured.iter().filter_map(|url| {
            let host = ConfiguredHost::default();
            if let Some(address) = literal_ip(url) {
                let _first = host.classes.set(vec![AddressClass::of(address)]);
            }
            Some((normalize_host(url.host_str()?), host))
        });
        HostPolicy(Arc::new(Inner {
            is_restricted: !settings.configured_urls.is_empty(),
            origins: configured.iter().map(origin).collect(),
            hosts: hosts.collect(),
            proxies: settings.proxy.hosts().iter().map(|host| normalize_host(host)).collect(),
            proxied: ProxiedSchemes { http: settings.proxy.http.is_some(), https: settings.proxy.https.is_some() },
            lookup,
        }))
    }

    /// Checks a URL before a request. A name is checked when it is resolved.
    pub(super) async fn check(&self, url: &Url) -> Result<(), BlockedHost> {
        let inner = &self.0;
        let Some(host) = url.host_str().map(normalize_host) else { return Ok(()) };
        if !inner.is_restricted || inner.hosts.contains_key(&host) {
            return Ok(());
        }
        let is_here = || host == "localhost" || host.ends_with(".localhost");
        let class = match literal_ip(url) {
            Some(address) => AddressClass::of(address),
            None if is_here() => AddressClass::Loopback,
            None => return Ok(()),
        };
        if inner.allows(class).await { Ok(()) } else { Err(BlockedHost { class, was_public: false }) }
    }

    /// Who chose a URL that was answered by `remote`.
    pub(super) fn host_trust(&self, url: &Url, remote: Option<SocketAddr>) -> HostTrust {
        let inner = &self.0;
        if !inner.is_restricted || inner.origins.contains(&origin(url)) {
            return HostTrust::Configured;
        }
        let is_proxied = if url.scheme() == "https" { inner.proxied.https } else { inner.proxied.http };
        match remote {
            Some(remote) if !is_proxied && AddressClass::of(remote.ip()) == AddressClass::Public => HostTrust::Public,
            _ => HostTrust::Internal,
        }
    }

    async fn resolve_checked(&self, name: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let inner = &self.0;
        let host = normalize_host(name);
        let found = (inner.lookup)(name.to_owned()).await?;
        if !inner.is_restricted || inner.proxies.contains(&host) {
            return Ok(found);
        }
        Ok(match inner.hosts.get(&host) {
            Some(known) => known.filter_allowed(found)?,
            None => inner.filter_allowed(found).await?,
        })
    }
}

impl Inner {
    /// Whether a configured host is in a network of that class.
    async fn allows(&self, class: AddressClass) -> bool {
        if class == AddressClass::Public {
            return true;
        }
        if self.hosts.values().any(|host| host.classes.get().is_some_and(|classes| classes.contains(&class))) {
            return true;
        }
        // Some hosts may not be resolved yet, because their responses came from a cache.
        for (name, host) in self.hosts.iter().filter(|(_, host)| host.classes.get().is_none()) {
            let found = tokio::time::timeout(LOOKUP_TIMEOUT, (self.lookup)(name.clone())).await;
            if let Ok(Ok(found)) = found
                && !found.is_empty()
                && host.record_classes(&found).contains(&class)
            {
                return true;
            }
        }
        false
    }

    /// The addresses that may be reached, among those of a host that upstream chose.
    async fn filter_allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, BlockedHost> {
        let mut admitted = Vec::new();
        let mut blocked = None;
        for address in found {
            let class = AddressClass::of(address);
            if self.allows(class).await {
                admitted.push(address);
            } else {
                blocked = Some(BlockedHost { class, was_public: false });
            }
        }
        match blocked {
            Some(blocked) if admitted.is_empty() => Err(blocked),
            _ => Ok(admitted),
        }
    }
}

impl ConfiguredHost {
    /// The classes of the host's first addresses. If one is public, the others do not count.
    fn record_classes(&self, found: &[IpAddr]) -> &[AddressClass] {
        self.classes.get_or_init(|| {
            let classes: Vec<AddressClass> = found.iter().map(|address| AddressClass::of(*address)).collect();
            if classes.contains(&AddressClass::Public) { vec![AddressClass::Public] } else { classes }
        })
    }

    /// The addresses that may be reached, among those of a configured host: one that was public must stay so.
    fn filter_allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, BlockedHost> {
        let Some(first) = found.first().copied() else { return Ok(found) };
        if !self.record_classes(&found).contains(&AddressClass::Public) {
            return Ok(found);
        }
        let public: Vec<IpAddr> =
            found.into_iter().filter(|address| AddressClass::of(*address) == AddressClass::Public).collect();
        if public.is_empty() {
            Err(BlockedHost { class: AddressClass::of(first), was_public: true })
        } else {
            Ok(public)
        }
    }
}

impl Resolve for HostPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = self.clone();
        Box::pin(async move {
            let found = targets.resolve_checked(name.as_str()).await?;
            // The library sets the port.
            let found: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(found)
        })
    }
}

/// The normalized form of a host name.
fn normalize_host(host: &str) -> String {
    host.trim_end_matches('.').trim_matches(['[', ']']).to_ascii_lowercase()
}

/// The host, if it is an IP address.
fn literal_ip(url: &Url) -> Option<IpAddr> {
    normalize_host(url.host_str()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Answers each name with these addresses, in turn if there are several answers; the last one repeats.
    fn fake_lookup(answers: &[(&str, &[&str])]) -> Lookup {
        let answers: HashMap<String, Vec<String>> = answers
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().rev().map(|a| (*a).to_owned()).collect()))
            .collect();
        let answers = Mutex::new(answers);
        Arc::new(move |name| {
            let mut answers = answers.lock().expect("no panic");
            let left = answers.get_mut(&name);
            let answer = left.and_then(|left| if left.len() > 1 { left.pop() } else { left.last().cloned() });
            Box::pin(async move {
                let answer = answer.ok_or(io::ErrorKind::NotFound)?;
                Ok(answer.split(' ').map(|address| address.parse().expect("address")).collect())
            })
        })
    }

    fn policy(configured: &[&str], answers: &[(&str, &[&str])]) -> HostPolicy {
        let configured = configured.iter().map(|url| (*url).to_owned()).collect();
        HostPolicy::new(&Settings { configured_urls: configured, ..Settings::default() }, fake_lookup(answers))
    }

    async fn resolved(targets: &HostPolicy, name: &str) -> String {
        match targets.resolve_checked(name).await {
            Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    async fn is_allowed(targets: &HostPolicy, url: &str) -> bool {
        targets.check(&Url::parse(url).expect("address")).await.is_ok()
    }

    #[tokio::test]
    async fn a_public_upstream_cannot_reach_internal_hosts() {
        let targets = policy(
            &["https://crates.test/index/"],
            &[
                ("crates.test", &["1.1.1.1"]),
                ("cdn.test", &["8.8.8.8 2606:4700::1"]),
                ("internal.test", &["10.0.0.1"]),
                ("mixed.test", &["10.0.0.1 9.9.9.9 ::1"]),
                ("metadata.test", &["::ffff:169.254.169.254"]),
            ],
        );
        assert_eq!(resolved(&targets, "cdn.test").await, "8.8.8.8 2606:4700::1");
        assert_eq!(resolved(&targets, "mixed.test").await, "9.9.9.9");
        assert_eq!(resolved(&targets, "internal.test").await, "the host has a private address");
        assert_eq!(resolved(&targets, "metadata.test").await, "the host has a link-local address");
        assert!(is_allowed(&targets, "http://8.8.8.8/").await && is_allowed(&targets, "http://[2606:4700::1]/").await);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0/",
            "http://localhost:8080/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[fe80::1]/",
            "http://[64:ff9b::a00:1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.100.100.200/",
            "http://192.168.1.1/",
        ] {
            assert!(!is_allowed(&targets, url).await, "{url}");
        }
    }

    #[tokio::test]
    async fn a_private_upstream_reaches_only_its_own_class_of_network() {
        let targets = policy(
            &["https://registry.corp/index/", "http://[::1]:8000/"],
            &[
                ("registry.corp", &["10.0.0.5"]),
                ("cdn.corp", &["fd00::1"]),
                ("cloud.corp", &["169.254.169.254"]),
                ("cdn.test", &["8.8.8.8"]),
            ],
        );
        // Before any request to the registry.
        assert!(is_allowed(&targets, "http://192.168.7.7/").await && is_allowed(&targets, "http://127.0.0.2/").await);
        assert_eq!(resolved(&targets, "cdn.corp").await, "fd00::1");
        assert_eq!(resolved(&targets, "cdn.test").await, "8.8.8.8");
        assert_eq!(resolved(&targets, "cloud.corp").await, "the host has a link-local address");
        assert!(!is_allowed(&targets, "http://0.0.0.0/").await);
    }

    #[tokio::test]
    async fn dns_rebinding_is_blocked() {
        let targets = policy(
            &["https://crates.test/"],
            &[("crates.test", &["1.1.1.1 10.0.0.1", "10.0.0.1", "1.1.1.2"]), ("evil.test", &["8.8.8.8", "127.0.0.1"])],
        );
        assert_eq!(resolved(&targets, "evil.test").await, "8.8.8.8");
        assert_eq!(resolved(&targets, "evil.test").await, "the host has a loopback address");
        // The policy check used the first answer.
        assert_eq!(resolved(&targets, "crates.test").await, "the host has a private address");
        assert_eq!(resolved(&targets, "crates.test").await, "1.1.1.2");
        assert!(!is_allowed(&targets, "http://10.0.0.1/").await);
    }

    #[tokio::test]
    async fn a_configured_public_host_does_not_become_private() {
        let targets = policy(&["https://crates.test/"], &[("crates.test", &["1.1.1.1 10.0.0.1", "10.0.0.1"])]);
        assert_eq!(resolved(&targets, "CRATES.test.").await, "entity not found", "the fake knows one spelling");
        assert_eq!(resolved(&targets, "crates.test").await, "1.1.1.1");
        let error = targets.resolve_checked("crates.test").await.expect_err("rebound");
        let blocked = error.downcast_ref::<BlockedHost>().expect("blocked");
        assert!(blocked.was_public && blocked.class == AddressClass::Private);
    }

    #[test]
    fn hosts_are_trusted_by_who_chose_them() {
        let mut settings =
            Settings { configured_urls: vec!["http://registry.corp/index/".to_owned()], ..Settings::default() };
        let chosen = |settings: &Settings, url: &str, remote: &str| {
            let targets = HostPolicy::new(settings, fake_lookup(&[]));
            targets.host_trust(&Url::parse(url).expect("address"), Some(remote.parse().expect("address")))
        };
        assert_eq!(chosen(&settings, "http://registry.corp:80/dl/a", "10.0.0.5:80"), HostTrust::Configured);
        assert_eq!(chosen(&settings, "http://registry.corp:81/dl/a", "10.0.0.5:81"), HostTrust::Internal);
        assert_eq!(chosen(&settings, "https://registry.corp/dl/a", "10.0.0.5:443"), HostTrust::Internal);
        assert_eq!(chosen(&settings, "https://cdn.test/a", "8.8.8.8:443"), HostTrust::Public);
        settings.proxy.configure("http://8.8.8.8:3128", "test");
        assert_eq!(chosen(&settings, "https://cdn.test/a", "8.8.8.8:3128"), HostTrust::Internal);
        assert_eq!(chosen(&Settings::default(), "http://any.test/", "127.0.0.1:80"), HostTrust::Configured);
    }
}
