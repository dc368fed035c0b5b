"""Settings of the shop in production, behind hookgate."""

import os
from pathlib import Path

SECRET_KEY = os.environ["SECRET_KEY_BASE"]
GATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]
LICENCE_SECRET = os.environ["LICENCE_SECRET"]
DEBUG = False

# hookgate keeps the Host that the sender asked for: the public name belongs here, not the address that hookgate connects to.
ALLOWED_HOSTS = ["hooks.example.com", "localhost"]

# hookgate terminates TLS and always replaces X-Forwarded-Proto, so it can be believed. Without it, the redirect to https
# would answer every webhook with a 301, which providers take for a failure.
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
