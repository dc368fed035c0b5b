from django.urls import path

from licences import views

urlpatterns = [path("webhooks/paddle", views.webhook)]
