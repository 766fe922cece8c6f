# The telemetry collector: the one credential it writes with, and its certificate.

path "opensearch/data/collector" { capabilities = ["read"] }

path "pki/issue/collector" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name"        = ["collector.NAMESPACE.svc"]
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["common_name", "uri_sans", "ttl"]
}
