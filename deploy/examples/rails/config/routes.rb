Rails.application.routes.draw do
  post "webhooks/paddle", to: "webhooks#paddle"
end
