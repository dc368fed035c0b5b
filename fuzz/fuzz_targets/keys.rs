//! Any bytes as any kind of key: they are refused or parsed, without a panic.
#![no_main]
use hookgate_fuzz::{custom, preset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|key: &[u8]| {
    for name in ["paddle", "paddle-classic", "standard-webhooks", "sendgrid", "discord", "adyen-platform"] {
        let _ = preset(name, key);
    }
    for encoding in ["base64", "hex", "pem"] {
        for algorithm in ["hmac-sha256", "ed25519", "ecdsa-p256", "rsa-sha1"] {
            let description = format!(
                "signature = {{ header = \"S\" }}\nalgorithm = \"{algorithm}\"\nkey = {{ encoding = \"{encoding}\", prefix = \"whsec_\" }}\npayload = \"{{url}}{{body}}\""
            );
            let _ = custom(&description, key);
        }
    }
});
