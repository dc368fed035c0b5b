"""Settings of the shop in production, behind hookgate."""

import os
from pathlib import Path

SECRET_KEY = os.environ["SECRET_KEY_BASE"]
GATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]
LICENCE_SECRET = os.environ["LICENCE_SECRET"]
DEBUG = False

# hookgate keeps the sender's Host header, so list the public name here, not the address to which hookgate connects.
ALLOWED_HOSTS = ["hooks.example.com", "localhost"]

# hookgate terminates TLS and replaces X-Forwarded-Proto (except from its trusted proxies), so Django can trust this header. Without
# this setting the redirect to https would answer every webhook with a 301, which providers count as a failure.
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = ["licences"]
MIDDLEWARE = [
    "licences.middleware.ThroughHookgate",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ.get("STATE", ".")) / "shop.sqlite3",
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"licences": {"handlers": ["console"], "level": "INFO"}},
}
