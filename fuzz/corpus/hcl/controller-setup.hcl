# The controller while it sets the platform up. It writes the policies and roles of all others and is therefore
# equal to root in effect; its own policy and its own role it may only read.

# Engines.
path "sys/mounts"              { capabilities = ["read"] }
path "sys/mounts/systems"      { capabilities = ["update"] }
path "sys/mounts/environments" { capabilities = ["update"] }
path "sys/mounts/opensearch"   { capabilities = ["update"] }
path "sys/mounts/nats"         { capabilities = ["update"] }
path "sys/mounts/nats-jwt"     { capabilities = ["update"] }
path "sys/mounts/pki"          { capabilities = ["update"] }
path "sys/mounts/pki/tune"     { capabilities = ["read", "update"] }

# Policies.
path "sys/policies/acl"            { capabilities = ["list"] }
path "sys/policies/acl/+"          { capabilities = ["read"] }
path "sys/policies/acl/controller" { capabilities = ["read", "update"] }
path "sys/policies/acl/nats"       { capabilities = ["read", "update"] }
path "sys/policies/acl/opensearch" { capabilities = ["read", "update"] }
path "sys/policies/acl/collector"  { capabilities = ["read", "update"] }
path "sys/policies/acl/agent"      { capabilities = ["read", "update"] }
path "sys/policies/acl/component"  { capabilities = ["read", "update"] }

# Who may log in. The exact path outweighs the one with the wildcard.
path "sys/auth"                              { capabilities = ["read"] }
path "auth/kubernetes/config"                { capabilities = ["read"] }
path "auth/kubernetes/role"                  { capabilities = ["list"] }
path "auth/kubernetes/role/+"                { capabilities = ["create", "read", "update"] }
path "auth/kubernetes/role/controller-setup" { capabilities = ["read"] }

# Certificates.
path "pki/issuers"                { capabilities = ["list"] }
path "pki/root/generate/internal" { capabilities = ["update"] }
path "pki/roles/+"                { capabilities = ["read", "update"] }

# The keys of NATS, and the one that signs its accounts. Without a type Vault would make an AES key.
path "nats/keys/operator" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/keys/account.system" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/keys/account.platform" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/keys/signer.platform" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/sign/operator" {
  capabilities       = ["update"]
  allowed_parameters = { "input" = [] }
}

# The documents of NATS. Without `update` a second write is refused; limits of the platform's account may change.
path "nats-jwt/data/operator"         { capabilities = ["create", "read"] }
path "nats-jwt/data/account/system"   { capabilities = ["create", "read"] }
path "nats-jwt/data/account/platform" { capabilities = ["create", "read", "update"] }

# The credentials of OpenSearch, made once.
path "sys/policies/password/opensearch"          { capabilities = ["read", "update"] }
path "sys/policies/password/opensearch/generate" { capabilities = ["read"] }
path "opensearch/data/admin"                     { capabilities = ["create", "read"] }
path "opensearch/data/collector"                 { capabilities = ["create", "read"] }
path "opensearch/data/viewer"                    { capabilities = ["create", "read"] }
