# The log agent on each node: its own client certificate, nothing else.

path "pki/issue/agent" {
  capabilities = ["update"]
  allowed_parameters = {
    "uri_sans"           = []
    "ttl"                = []
    "format"             = ["pem"]
    "private_key_format" = ["pkcs8"]
  }
  required_parameters = ["uri_sans", "ttl"]
}
