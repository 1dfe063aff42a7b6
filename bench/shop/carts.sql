-- A cart of a shop that is made up, by its number alone: 90 days, the newest first in time last; 100 shops never, three.
--
-- Half of the carts are of people who are known, one in seven comes back, one in twelve is bought after it was left.
CREATE OR REPLACE VIEW made_carts AS
SELECT
    number AS n,
    sipHash64(number) AS chance,
    multiIf(chance % 100 < 70, 'main', chance % 100 < 90, 'berlin', 'wien') AS shop_id,
    lower(concat('c-', hex(sipHash64(n, 1)))) AS cart_id,
    lower(hex(sipHash128(n, 2))) AS abandonment_id,
    lower(concat('d-', hex(sipHash64(intDiv(n, 3), 3)))) AS device_id,
    lower(concat('s-', hex(sipHash64(n, 4)))) AS session_id,
    if(bitShiftRight(chance, 8) % 100 < 20, concat('k-', toString(sipHash64(n, 5) % 2000000)), '') AS customer_id,
    bitShiftRight(chance, 16) % 100 < 50 AS known,
    ['anna', 'bogdan', 'clara', 'dumitru', 'elena', 'franz', 'grit', 'horia', 'ioana', 'jonas', 'katja', 'lena', 'mihai',
        'nadia', 'otto', 'petra', 'radu', 'sofia', 'tudor', 'ute'] AS names,
    ['albu', 'brandt', 'ciobanu', 'dietrich', 'enache', 'fischer', 'gruber', 'huber', 'ionescu', 'jung', 'krause', 'lang',
        'maier', 'neumann', 'oprea', 'popa', 'rusu', 'schulz', 'toma', 'vogel'] AS families,
    if(known, concat(names[1 + sipHash64(n, 6) % 20], '.', families[1 + sipHash64(n, 7) % 20],
        toString(sipHash64(n, 8) % 100000), '@example.', ['com', 'org', 'net'][1 + n % 3]), '') AS email,
    if(known, concat('p-', lower(substring(hex(sipHash128(email)), 1, 24))), '') AS subscriber_id,
    ['EUR', 'EUR', 'EUR', 'RON', 'PLN'][1 + sipHash64(n, 9) % 5] AS currency,
    ['cart', 'cart', 'cart', 'contact', 'address', 'shipping', 'payment', 'review'][1 + sipHash64(n, 10) % 8] AS stage,
    fromUnixTimestamp64Milli({begin:Int64} + intDiv(n * 7776000000, {carts:UInt64}), 'UTC') AS created_at,
    created_at + toIntervalMillisecond(700000 + sipHash64(n, 11) % 600000) AS last_activity,
    last_activity + toIntervalHour(2) AS abandoned_at,
    multiIf(bitShiftRight(chance, 24) % 84 < 7, 'recovered', bitShiftRight(chance, 24) % 84 < 19, 'reactivated',
        bitShiftRight(chance, 24) % 840 = 200, 'withdrawn', 'open') AS state,
    arrayMap(i -> sipHash64(n, 20 + i) % 20000, range(1 + sipHash64(n, 12) % 4)) AS products,
    arrayMap(p -> 5 + (p * 7919) % 20000 / 100, products) AS prices,
    arrayMap(p -> concat(['Blue', 'Red', 'Green', 'Grey', 'White', 'Striped'][1 + p % 6], ' ',
        ['linen shirt', 'wool scarf', 'leather belt', 'rain coat', 'tea pot', 'desk lamp', 'garden chair', 'novel'][1 + intDiv(p, 6) % 8],
        ' no. ', toString(p)), products) AS titles,
    concat('[', arrayStringConcat(arrayMap((p, t, c) -> concat('{"sku":"A', toString(p), '","name":"', t,
        '","quantity":1,"price":"', toString(toDecimal64(c, 2)), '","category":"clothes"}'), products, titles, prices), ','), ']') AS items,
    toDecimal128(arraySum(prices), 6) AS value,
    toUInt32(length(products)) AS units,
    concat('https://shop.example.com/cart/', cart_id) AS cart_url
FROM numbers({first:UInt64}, {count:UInt64})
