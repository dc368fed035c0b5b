# Only this user and its group can open the Unix socket. hookgate runs in that group.
bind ENV.fetch("BIND", "unix:///run/shop/puma.sock?umask=0007")
threads 5, 5
environment "production"
