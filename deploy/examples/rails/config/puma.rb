# A Unix socket that only this user and its group open: hookgate runs in that group, nobody else gets in.
bind ENV.fetch("BIND", "unix:///run/shop/puma.sock?umask=0007")
threads 5, 5
environment "production"
