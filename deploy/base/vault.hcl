# Vault (OpenBao) beside the controller. No seal stanza: the controller initializes with one Shamir share and unseals.

# Only this pod reaches it; everybody else gets what it may have from the controller's API.
listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
}

storage "raft" {
  path    = "/var/lib/kubefox/vault"
  node_id = "kubefox-0"

  # There are no peers whose delays would have to be borne: elections at full speed make the first initialization,
  # whose answer is the only copy of the unseal key, take two seconds instead of nine.
  performance_multiplier = 1
}

api_addr     = "http://127.0.0.1:8200"
cluster_addr = "https://127.0.0.1:8201"

# Who asked for what, with every secret hashed, in the pod's log. OpenBao takes audit devices from here alone.
audit "file" "stdout" {
  options {
    file_path = "stdout"
  }
}

ui         = false
log_format = "json"
