package bench;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** A cart as bytes: a compact form by hand, because JSON would cost more than all the rest. */
final class CartSerde implements Serde<Cart> {
    @Override
    public Serializer<Cart> serializer() {
        return (topic, cart) -> cart == null ? null : write(cart);
    }

    @Override
    public Deserializer<Cart> deserializer() {
        return (topic, bytes) -> bytes == null ? null : read(bytes);
    }

    private static byte[] write(Cart cart) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeUTF(cart.id);
            out.writeLong(cart.lastActivity);
            out.writeLong(cart.abandonedAt);
            out.writeBoolean(cart.left);
            out.writeBoolean(cart.owed);
            out.writeByte(cart.seen.size());
            for (String id : cart.seen) {
                out.writeUTF(id);
            }
            out.writeShort(cart.lines.size());
            for (Cart.Line line : cart.lines) {
                out.writeUTF(line.sku);
                out.writeUTF(line.name == null ? "" : line.name);
                out.writeInt(line.quantity);
                out.writeLong(line.cents);
                out.writeUTF(line.category == null ? "" : line.category);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return bytes.toByteArray();
    }

    private static Cart read(byte[] bytes) {
        Cart cart = new Cart();
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
            cart.id = in.readUTF();
            cart.lastActivity = in.readLong();
            cart.abandonedAt = in.readLong();
            cart.left = in.readBoolean();
            cart.owed = in.readBoolean();
            for (int n = in.readByte(); n > 0; n--) {
                cart.seen.add(in.readUTF());
            }
            for (int n = in.readShort(); n > 0; n--) {
                Cart.Line line = new Cart.Line();
                line.sku = in.readUTF();
                line.name = in.readUTF();
                line.quantity = in.readInt();
                line.cents = in.readLong();
                line.category = in.readUTF();
                cart.lines.add(line);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return cart;
    }
}
