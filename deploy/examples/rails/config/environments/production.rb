Rails.application.configure do
  config.cache_classes = true
  config.eager_load = true
  config.consider_all_requests_local = false
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")

  # hookgate keeps the Host that the sender asked for: the public name belongs here, not the address that hookgate
  # connects to. What is not listed is answered 403.
  config.hosts = ["hooks.example.com", "localhost"]

  # hookgate terminates TLS and always replaces X-Forwarded-Proto, which Rails believes. Without it, force_ssl would answer
  # every webhook with a 301, which providers take for a failure.
  config.force_ssl = true

  config.log_level = :info
  config.logger = ActiveSupport::Logger.new($stdout)
  $stdout.sync = true
end
