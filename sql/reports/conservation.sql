-- title: Does everything add up
-- description: Carts that were left, what was planned for them, and how every plan ended: nothing may get lost on the way or
--   be there twice. Counted are what was left on these days (UTC, by the deadline) and plans about none that were made
--   then. `of` is the denominator: the plans' ends add up to the plans. Rows of the part `wrong` must be 0; `cartwake
--   audit` names each by its id. A plan that waits for something is open until it expires, ten minutes late is overdue.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- column part: carts, plans or wrong
-- column what: what is counted; of plans their end, of wrong the check
-- column reason: why a plan ended so
-- column number: how many
-- column of: out of how many
WITH
    asked AS ({abandonments}),
    known AS ({plans}),
    counted AS
    (
        SELECT 1 AS place, 'carts' AS part, 'with a person' AS what, '' AS reason,
            with_a_person AS number, abandonments AS total
        FROM asked
        UNION ALL
        SELECT 1, 'carts', 'with a plan', '', with_a_plan, abandonments FROM asked
        UNION ALL
        SELECT 2, 'plans', standing, reason, count(), (SELECT count() FROM known) FROM known GROUP BY standing, reason
        UNION ALL
        SELECT 3, 'wrong', name, '', found, if(name = 'no_plan', (SELECT with_a_person FROM asked), (SELECT count() FROM known))
        FROM
        (
            SELECT 'no_abandonment' AS name, count() AS found FROM ({no_abandonment})
            UNION ALL
            SELECT 'no_end', count() FROM ({no_end})
            UNION ALL
            SELECT 'no_plan', count() FROM ({no_plan})
            UNION ALL
            SELECT 'not_planned', count() FROM ({not_planned})
            UNION ALL
            SELECT 'over_the_cap', count() FROM ({over_the_cap})
            UNION ALL
            SELECT 'sent_after_purchase', count() FROM ({sent_after_purchase})
            UNION ALL
            SELECT 'sent_to_silenced', count() FROM ({sent_to_silenced})
            UNION ALL
            SELECT 'sent_twice', count() FROM ({sent_twice})
            UNION ALL
            SELECT 'several_ends', count() FROM ({several_ends})
        )
    )
SELECT part, what, reason, number, total AS of
FROM counted
WHERE total > 0 OR number > 0
ORDER BY place, what, reason
