-- title: Messages
-- description: What became of the messages that were planned, and what people did with those that were sent. Each plan is
--   one message to one person and has one end, so the seven from `sent` to `open` add up to `planned`. A plan counts on the
--   day (UTC) it was made, with all that followed until now. The denominator of the shares is `sent`. Opens and clicks are
--   the person's, once a message; those of mail proxies and scanners stand beside them. Mail programs that show no pictures
--   and those that fetch them for everybody make opens a guess. Order notices remind of nothing and are left out.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: sent by shop_id, channel, step, variant
-- column shop_id: the shop
-- column channel: email, sms or push
-- column step: step of the shop's rules; 0 for what is of none, as what staff sent by hand
-- column variant: form of the step; empty when it has one only
-- column planned: plans that were made
-- column sent: of them, those whose message left
-- column suppressed: held back for a reason, see the report suppressions
-- column recovered: not needed any more: bought or come back before
-- column expired: could not leave in time
-- column failed: refused by the relay or the channel
-- column uncertain: may have left; a crash left it unknown
-- column open: have no end so far
-- column opened: of those sent, those the person opened
-- column opened_percent: their share of sent
-- column clicked: of those sent, those whose link the person clicked
-- column clicked_percent: their share of sent
-- column bounced: of those sent, those that came back
-- column bounced_percent: their share of sent
-- column complained: of those sent, those reported as spam
-- column complained_percent: their share of sent
-- column machine_opened: of those sent, those a mail proxy or scanner opened
SELECT
    p.shop_id AS shop_id,
    p.channel AS channel,
    p.step AS step,
    p.variant AS variant,
    count() AS planned,
    countIf(p.ending = 'sent') AS sent,
    countIf(p.ending = 'suppressed') AS suppressed,
    countIf(p.ending = 'recovered') AS recovered,
    countIf(p.ending = 'expired') AS expired,
    countIf(p.ending = 'failed') AS failed,
    countIf(p.ending = 'uncertain') AS uncertain,
    countIf(p.ending = '') AS open,
    countIf(p.ending = 'sent' AND m.opened_at IS NOT NULL) AS opened,
    if(sent = 0, NULL, toDecimal64(round(100 * opened / sent, 1), 1)) AS opened_percent,
    countIf(p.ending = 'sent' AND m.clicked_at IS NOT NULL) AS clicked,
    if(sent = 0, NULL, toDecimal64(round(100 * clicked / sent, 1), 1)) AS clicked_percent,
    countIf(p.ending = 'sent' AND m.bounced_at IS NOT NULL) AS bounced,
    if(sent = 0, NULL, toDecimal64(round(100 * bounced / sent, 1), 1)) AS bounced_percent,
    countIf(p.ending = 'sent' AND m.complained_at IS NOT NULL) AS complained,
    if(sent = 0, NULL, toDecimal64(round(100 * complained / sent, 1), 1)) AS complained_percent,
    countIf(p.ending = 'sent' AND m.machine_opened_at IS NOT NULL) AS machine_opened
FROM plans AS p
INNER JOIN sent_messages AS m ON p.shop_id = m.shop_id AND p.plan_id = m.plan_id
WHERE (p.planned_at IS NOT NULL OR p.held != '' OR notEmpty(p.endings))
    AND ifNull(p.planned_at, p.said_at) >= toDateTime64({from:Date32}, 3, 'UTC')
    AND ifNull(p.planned_at, p.said_at) < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    AND ({shop:String} = '' OR p.shop_id = {shop:String})
GROUP BY shop_id, channel, step, variant
ORDER BY shop_id, channel, step, variant
