# The controller while it serves. It configures nothing, and it cannot issue what belongs to its callers.

# It sees whether the platform is still set up as it should be.
path "sys/mounts"             { capabilities = ["read"] }
path "sys/auth"               { capabilities = ["read"] }
path "sys/policies/acl"       { capabilities = ["list"] }
path "sys/policies/acl/+"     { capabilities = ["read"] }
path "auth/kubernetes/config" { capabilities = ["read"] }
path "auth/kubernetes/role"   { capabilities = ["list"] }
path "auth/kubernetes/role/+" { capabilities = ["read"] }
path "pki/issuers"            { capabilities = ["list"] }
path "pki/roles/+"            { capabilities = ["read"] }

# The public half of NATS.
path "nats/keys/operator"             { capabilities = ["read"] }
path "nats/keys/account.system"       { capabilities = ["read"] }
path "nats/keys/account.platform"     { capabilities = ["read"] }
path "nats/keys/signer.platform"      { capabilities = ["read"] }
path "nats-jwt/data/operator"         { capabilities = ["read"] }
path "nats-jwt/data/account/system"   { capabilities = ["read"] }
path "nats-jwt/data/account/platform" { capabilities = ["read"] }

# The scoped key that signs users: whatever it signs, the platform's account bounds.
path "nats/sign/signer.platform" {
  capabilities        = ["update"]
  allowed_parameters  = { "input" = [] }
  required_parameters = ["input"]
}

# Its serving certificate.
path "pki/issue/controller" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name"        = ["kubefox.NAMESPACE.svc"]
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["common_name", "uri_sans", "ttl"]
}

# The sweep for root tokens that live.
path "auth/token/accessors"       { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }

# The generation of the envelope, by compare-and-set.
path "systems/data/kubefox/boot" { capabilities = ["create", "read", "update"] }
