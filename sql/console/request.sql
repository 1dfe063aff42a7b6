-- What became of requests of the staff: of each, the last step of the message that answers it, within the last day.
SELECT request_id, type, words
FROM messages_log
WHERE request_id IN {requests:Array(String)}
    AND received_at > now() - INTERVAL 1 DAY
    AND type NOT IN ('message.opened', 'message.clicked', 'message.bounced', 'message.complained')
ORDER BY type NOT IN ('message.planned', 'message.held', 'message.sending') DESC, occurred_at DESC, type != 'message.planned' DESC
LIMIT 1 BY request_id
