Rails.application.configure do
  config.cache_classes = true
  config.eager_load = true
  config.consider_all_requests_local = false
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")

  # hookgate keeps the sender's Host header, so list the public name here, not the address to which hookgate connects. Rails
  # answers 403 to any other host.
  config.hosts = ["hooks.example.com", "localhost"]

  # hookgate terminates TLS and replaces X-Forwarded-Proto (except from its trusted proxies); Rails trusts this header. Without
  # it, force_ssl would answer every webhook with a 301, which providers count as a failure.
  config.force_ssl = true

  config.log_level = :info
  config.logger = ActiveSupport::Logger.new($stdout)
  $stdout.sync = true
end
