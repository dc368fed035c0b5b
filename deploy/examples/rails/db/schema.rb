ActiveRecord::Schema.define(version: 2024_04_12_000000) do
  create_table "fulfilments", force: :cascade do |t|
    t.string "event", null: false
    t.string "transaction_id", null: false
    t.integer "seats", null: false
    t.index ["event"], unique: true
  end
end
