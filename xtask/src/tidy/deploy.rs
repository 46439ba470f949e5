//! What is shipped to run the hub keeps its promises: no root, nothing writable but the state, nothing without a version.
//!
//! Text only. That the manifests fit Kubernetes' schemas is a peer step; that the image builds and the unit starts is shown nowhere here.

use super::{Fault, File};

/// What each file of `deploy` must say, and why.
const DEMANDED: &[(&str, &[(&str, &str)])] = &[
    (
        "deploy/crossdock.service",
        &[
            ("User=crossdock", "the hub does not run as root"),
            ("NoNewPrivileges=yes", "it gains no rights"),
            ("ProtectSystem=strict", "it writes its state only"),
            ("StateDirectory=crossdock", "its state has a place"),
            ("CapabilityBoundingSet=\n", "it needs no capability"),
            ("SystemCallFilter=@system-service", "it needs no other calls"),
            ("Restart=always", "it starts again from what is on disk"),
            ("ExecStartPre=/usr/local/bin/crossdock check", "a faulty landscape is told before the start"),
        ],
    ),
    (
        "deploy/Containerfile",
        &[
            ("USER 65532", "the hub does not run as root"),
            ("--locked", "what is built is what was tested"),
            ("STOPSIGNAL SIGTERM", "it is stopped in order"),
            ("ENTRYPOINT [", "signals reach the program, not a shell"),
        ],
    ),
    (
        "deploy/kubernetes/hub.yaml",
        &[
            ("runAsNonRoot: true", "the hub does not run as root"),
            ("readOnlyRootFilesystem: true", "it writes its state only"),
            ("allowPrivilegeEscalation: false", "it gains no rights"),
            ("drop: [ALL]", "it needs no capability"),
            ("path: /healthz", "it is restarted when it does not answer"),
            ("path: /readyz", "it gets no orders while it takes none"),
            ("requests: {cpu:", "it has a place to run"),
            ("kind: PodDisruptionBudget", "nodes are drained one by one"),
        ],
    ),
];

pub fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("deploy/")) {
        for (number, line) in file.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            let names_image = line.starts_with("image:") || line.starts_with("FROM ");
            if names_image && (line.ends_with(":latest") || !line.contains(':')) {
                faults.push(file.fault(number, "an image without a version: what runs must be known"));
            }
            if line.starts_with("ADD ") {
                faults.push(file.fault(number, "ADD fetches and unpacks: use COPY"));
            }
        }
        for (_, demands) in DEMANDED.iter().filter(|(path, _)| *path == file.path) {
            for (text, why) in demands.iter().filter(|(text, _)| !file.text.contains(text)) {
                faults.push(file.fault(0, format!("`{}` is missing: {why}", text.trim())));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{super::planted, *};

    #[test]
    fn what_a_deployment_must_say_is_missed() {
        let faults = check(&[planted("deploy/Containerfile", "FROM rust\nADD x y\nUSER 65532\n")]);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told.iter().any(|fault| fault.contains("Containerfile:1") && fault.contains("version")), "{told:?}");
        assert!(
            told.iter().any(|fault| fault.contains("ADD")) && told.iter().any(|fault| fault.contains("--locked")),
            "{told:?}"
        );
        assert!(check(&[planted("docs/Containerfile", "FROM rust")]).is_empty());
    }

    #[test]
    fn every_demanded_file_is_there() {
        for (path, _) in DEMANDED {
            assert!(crate::process::root().join(path).is_file(), "{path}");
        }
    }
}
