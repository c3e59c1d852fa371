-- Raises marks of one profile. Drops the sections that became stale.
-- KEYS[1]: the profile. ARGV: pairs of section and position.
-- Positions are 38 decimal digits each, so that text order is their order in any locale.
local key = KEYS[1]
-- Without a lease there is no section, and a load that begins now sees what the mark is about.
if redis.call('HEXISTS', key, 'e') == 0 then return 0 end
for i = 1, #ARGV, 2 do
  local section, position = ARGV[i], ARGV[i + 1]
  local mark = redis.call('HGET', key, 'm' .. section)
  if not mark or mark < position then
    redis.call('HSET', key, 'm' .. section, position)
  end
  local held = redis.call('HGET', key, 'v' .. section)
  if held and held < position then
    redis.call('HDEL', key, 'v' .. section, 'd' .. section)
  end
end
return 1
