-- What became of the cast's carts: the last word on each abandonment of the carts named.
SELECT
    cart_id,
    email,
    state,
    evidence_words,
    message_status,
    message_reason,
    message_words
FROM abandonments
WHERE shop_id = {shop:String} AND cart_id IN {carts:Array(String)}
ORDER BY abandoned_at, cart_id
